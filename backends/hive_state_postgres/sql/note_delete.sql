DELETE FROM hive.notes WHERE ns = $1 AND name = $2
