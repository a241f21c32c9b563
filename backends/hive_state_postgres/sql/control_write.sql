UPDATE hive.control SET peer = $2, state = $3, term = $4, epoch = $5, sinks = $6, version = $7 WHERE ns = $1
