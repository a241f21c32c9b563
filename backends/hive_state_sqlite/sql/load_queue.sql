INSERT INTO queues (
    ns, queue, version, paused)
VALUES (?, ?, ?, ?)
ON CONFLICT (ns, queue) DO UPDATE SET
    version = excluded.version, paused = excluded.paused
WHERE excluded.version > queues.version
