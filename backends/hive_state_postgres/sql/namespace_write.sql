INSERT INTO hive.control (namespace, store_id, state, term, epoch, floor) VALUES ($1, $2, 'open', 1, 1, 0)
ON CONFLICT DO NOTHING
