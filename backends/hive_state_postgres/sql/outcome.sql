SELECT kind, epoch, at, version, shape, ids, seqs, slots, slots AS olds, tokens, others::text FROM hive.outcome($1, $2)
