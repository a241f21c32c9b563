SELECT u.n, g.version
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY u(kind, name, part, seq, n), LATERAL (
    SELECT version FROM hive.gone
    WHERE ns = $1 AND kind = u.kind AND name = u.name AND part = u.part AND seq = u.seq OFFSET 0) g
