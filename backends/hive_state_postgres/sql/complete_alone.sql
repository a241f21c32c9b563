SELECT epoch, at, version, others, NULL AS seqs, NULL AS olds FROM hive.complete_alone($1, $2, $3, $4, $5, $6)
