-- Those that are still at the version given.
DELETE FROM hive.marks m
USING unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) u(kind, name, part, seq, version)
WHERE m.ns = $1 AND m.sink = $2 AND m.kind = u.kind AND m.name = u.name AND m.part = u.part AND m.seq = u.seq
  AND m.version = u.version
