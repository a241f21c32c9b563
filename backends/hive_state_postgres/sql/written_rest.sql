UPDATE hive.written SET collections = $2, keys = $3 WHERE ctid = $1
