-- Those that are still at the version given. One that a trip is about to raise is passed over: waiting for it, with others
-- locked already, would be a deadlock with a trip that wants those. IS TRUE makes it a lookup in a hash: a join would compare
-- each with each, for no plan knows how many there are.
DELETE FROM hive.marks WHERE ctid = ANY (ARRAY(
    SELECT m.ctid FROM hive.marks m
    WHERE m.ns = $1 AND m.sink = $2
      AND m.version BETWEEN (SELECT min(v) FROM unnest($7::bigint[]) v) AND (SELECT max(v) FROM unnest($7::bigint[]) v)
      AND ((m.kind, m.name, m.part, m.seq, m.version)
        IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]))) IS TRUE
    FOR UPDATE SKIP LOCKED
))
