-- Locks the groups that a claim will find something in; of each run: whether it is one of them, NULL: no such group.
-- An empty claim locks nothing, so that it writes nothing.
CREATE OR REPLACE FUNCTION hive.lock_ready(p_ns int, p_at bigint, p_streams text[], p_groups text[])
RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    v_ready boolean[];
    v_locked boolean;
BEGIN
    v_ready := ARRAY(
        SELECT hive.has_events(p_ns, p_at, u.stream, u.grp)
        FROM unnest(p_streams, p_groups) WITH ORDINALITY u(stream, grp, n) ORDER BY u.n);
    IF true = ANY (v_ready) THEN
        v_locked := hive.lock_streams(
            p_ns, '{}',
            ARRAY(SELECT u.stream FROM unnest(p_streams, v_ready) WITH ORDINALITY u(stream, ready, n)
                  WHERE u.ready ORDER BY u.n),
            ARRAY(SELECT u.grp FROM unnest(p_groups, v_ready) WITH ORDINALITY u(grp, ready, n)
                  WHERE u.ready ORDER BY u.n),
            '{}');
    END IF;
    RETURN v_ready;
END $$;
CREATE OR REPLACE FUNCTION hive.has_events(p_ns int, p_at bigint, p_stream text, p_group text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT EXISTS (SELECT 1 FROM hive.events e
                       WHERE e.ns = p_ns AND e.stream = p_stream AND e.seq > g.position OFFSET 0)
            OR EXISTS (SELECT 1 FROM hive.pending p
                       WHERE p.ns = p_ns AND p.stream = p_stream AND p.grp = p_group AND NOT p.dead
                         AND p.until <= p_at OFFSET 0)
        FROM hive.groups g WHERE g.ns = p_ns AND g.stream = p_stream AND g.grp = p_group);
END $$;
