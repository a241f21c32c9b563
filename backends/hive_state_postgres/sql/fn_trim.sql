-- Removes events below `p_to` from a stream whose head and groups are locked, 5000 at most: {removed, dropped, first}.
CREATE OR REPLACE FUNCTION hive.trim(
    p_ns int, p_version bigint, p_stream text, p_first bigint, p_last bigint, p_to bigint, p_force boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_to bigint := least(p_to, p_last + 1, p_first + 5000);
    v_dropped bigint := 0;
BEGIN
    IF NOT p_force THEN  -- least() passes over NULL
        v_to := least(v_to, (SELECT min(least(g.position + 1, hive.lowest_pending(p_ns, p_stream, g.grp)))
                             FROM hive.groups g WHERE g.ns = p_ns AND g.stream = p_stream));
    END IF;
    IF v_to <= p_first THEN
        RETURN jsonb_build_object('removed', 0, 'dropped', 0, 'first', p_first);
    END IF;
    IF p_force THEN
        WITH forgotten AS (
            DELETE FROM hive.pending WHERE ctid = ANY (ARRAY(
                SELECT p.tid FROM hive.groups g, LATERAL (
                    SELECT ctid AS tid FROM hive.pending
                    WHERE ns = p_ns AND stream = p_stream AND grp = g.grp AND seq < v_to OFFSET 0) p
                WHERE g.ns = p_ns AND g.stream = p_stream))
            RETURNING grp, seq
        ), touched AS (
            UPDATE hive.groups g SET version = p_version
            WHERE g.ns = p_ns AND g.stream = p_stream AND g.grp IN (SELECT grp FROM forgotten)
        )
        SELECT count(*) INTO v_dropped FROM (
            SELECT seq FROM forgotten
            UNION
            SELECT generate_series(greatest(p_first, min(g.position) + 1), v_to - 1)
            FROM hive.groups g WHERE g.ns = p_ns AND g.stream = p_stream HAVING count(*) > 0
        ) unfinished;
    END IF;
    DELETE FROM hive.events e WHERE e.ns = p_ns AND e.stream = p_stream AND e.seq < v_to;
    UPDATE hive.streams s SET first = v_to, version = p_version WHERE s.ns = p_ns AND s.stream = p_stream;
    RETURN jsonb_build_object('removed', v_to - p_first, 'dropped', v_dropped, 'first', v_to);
END $$;
CREATE OR REPLACE FUNCTION hive.lowest_pending(p_ns int, p_stream text, p_group text)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT seq FROM hive.pending WHERE ns = p_ns AND stream = p_stream AND grp = p_group ORDER BY seq LIMIT 1);
END $$;
