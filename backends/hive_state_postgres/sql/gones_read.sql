SELECT u.n, g.version
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY u(kind, name, part, seq, n)
JOIN hive.gone g ON g.ns = $1 AND g.kind = u.kind AND g.name = u.name AND g.part = u.part AND g.seq = u.seq
