SELECT epoch, at, version, NULL AS others, seqs, NULL AS olds FROM hive.append_alone($1, $2, $3, $4, $5)
