SELECT name, value FROM hive.notes WHERE ns = $1
