SELECT hive.load_gone($1, $2, $3, $4, $5, $6)
