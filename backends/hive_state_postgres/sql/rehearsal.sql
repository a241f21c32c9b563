INSERT INTO hive.control (namespace, store_id, state, term, epoch, floor, sinks) VALUES ($1, $1, 'open', 1, 1, 0, $2)
RETURNING ns
