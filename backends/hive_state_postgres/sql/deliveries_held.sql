SELECT u.slot, e.seq AS ord, e.version, e.body AS payload, e.raw, e.at AS created_at, p.token, p.deliveries AS attempt,
       p.until AS lease_until
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[]) u(stream, grp, seq, token, slot), LATERAL (
    SELECT * FROM hive.pending
    WHERE ns = $1 AND stream = u.stream AND grp = u.grp AND seq = u.seq AND token = u.token OFFSET 0) p, LATERAL (
    SELECT * FROM hive.events WHERE ns = $1 AND stream = u.stream AND seq = u.seq OFFSET 0) e
