-- Those that are still at the version given. One that a trip is about to raise is passed over: waiting for it, with others
-- locked already, would be a deadlock with a trip that wants those. LATERAL, and an order: each is looked up by its key, also
-- by a plan that was made while there were no marks. Else all marks are compared with all that are given, and those found
-- are locked until the end of that.
DELETE FROM hive.marks d USING
    unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) u(kind, name, part, seq, version),
    LATERAL (
        SELECT m.ctid AS tid
        FROM hive.marks m
        WHERE m.ns = $1 AND m.sink = $2 AND m.kind = u.kind AND m.name = u.name AND m.part = u.part
          AND m.seq BETWEEN u.seq AND u.seq AND m.version = u.version
        ORDER BY m.seq
        FOR UPDATE SKIP LOCKED
    ) held
WHERE d.ctid = held.tid
