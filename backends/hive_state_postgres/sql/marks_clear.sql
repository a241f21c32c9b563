-- Those that are still at the version given. One that a trip is about to raise is passed over: waiting for it, with others
-- locked already, would be a deadlock with a trip that wants those.
DELETE FROM hive.marks d USING (
    SELECT m.ctid AS tid
    FROM hive.marks m, unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) u(kind, name, part, seq, version)
    WHERE m.ns = $1 AND m.sink = $2 AND m.kind = u.kind AND m.name = u.name AND m.part = u.part AND m.seq = u.seq
      AND m.version = u.version
    FOR UPDATE OF m SKIP LOCKED
) held
WHERE d.ctid = held.tid
