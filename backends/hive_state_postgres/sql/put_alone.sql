SELECT epoch, at, version, others, NULL AS seqs, NULL AS olds FROM hive.put_alone($1, $2, $3, $4, $5, $6, $7, $8, $9)
