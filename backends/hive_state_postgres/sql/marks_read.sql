SELECT kind, name, part, seq, version FROM hive.marks WHERE ns = $1 AND sink = $2 ORDER BY version LIMIT $3
