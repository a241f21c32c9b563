SELECT kind, epoch, at, version, shape, ids, seqs, slots, tokens, others::text FROM hive.outcome($1, $2)
