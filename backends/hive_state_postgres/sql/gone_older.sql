DELETE FROM hive.gone WHERE ns = $1 AND kind = $2 AND name = $3 AND part = $4 AND seq = $5 AND version < $6
