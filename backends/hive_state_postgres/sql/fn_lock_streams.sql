-- Heads of streams, then groups, each by name. They come last in the order of locks: what is shared most is held
-- shortest. `p_wholes`: streams of which every group is locked; none can be made meanwhile, for that takes the head.
CREATE OR REPLACE FUNCTION hive.lock_streams(
    p_ns int, p_streams text[], p_group_streams text[], p_groups text[], p_wholes text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM hive.streams s WHERE s.ns = p_ns AND s.stream = ANY (p_streams) ORDER BY s.stream FOR UPDATE;
    IF cardinality(p_groups) + cardinality(p_wholes) > 0 THEN
        PERFORM 1 FROM (
            SELECT stream, grp FROM (
                SELECT u.stream, u.grp FROM unnest(p_group_streams, p_groups) u(stream, grp)
                UNION
                SELECT u.stream, g.grp FROM unnest(p_wholes) u(stream), LATERAL (
                    SELECT grp FROM hive.groups WHERE ns = p_ns AND stream = u.stream OFFSET 0) g
            ) named
            ORDER BY stream COLLATE "C", grp COLLATE "C"
        ) u, LATERAL (
            SELECT 1 FROM hive.groups g WHERE g.ns = p_ns AND g.stream = u.stream AND g.grp = u.grp FOR UPDATE
        ) g;
    END IF;
    RETURN true;
END $$;
