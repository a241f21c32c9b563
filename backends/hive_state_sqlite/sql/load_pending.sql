INSERT INTO pending (
    ns, stream, grp, seq, version, token, deliveries, consumer, until, dead, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, stream, grp, seq) DO UPDATE SET
    version = excluded.version, token = excluded.token, deliveries = excluded.deliveries, consumer =
    excluded.consumer, until = excluded.until, dead = excluded.dead, error = excluded.error
WHERE excluded.version > pending.version
