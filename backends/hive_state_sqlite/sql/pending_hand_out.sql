INSERT INTO pending (ns, stream, grp, seq, version, token, deliveries, consumer, until, dead)
VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, 0)
ON CONFLICT (ns, stream, grp, seq) DO UPDATE SET
    version = excluded.version, token = excluded.token, deliveries = excluded.deliveries,
    consumer = excluded.consumer, until = excluded.until,
    error = CASE WHEN pending.token > 0 THEN ?9 ELSE pending.error END
