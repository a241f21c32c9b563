SELECT epoch, at, version, NULL AS others, NULL AS seqs, olds
FROM hive.enqueue_alone($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
