INSERT INTO queues (ns, queue, version, paused) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (ns, queue) DO UPDATE SET version = excluded.version, paused = excluded.paused
