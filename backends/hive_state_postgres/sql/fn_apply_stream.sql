-- One operation of the general path on a stream or a group as a whole; the head, and those groups, are locked. `a` in an
-- operation: that there is no such stream decides about writes to other things, and what is absent cannot be locked.
CREATE OR REPLACE FUNCTION hive.apply_stream(
    p_ns int, p_version bigint, p_at bigint, p_alone boolean, p_op jsonb, p_body bytea,
    OUT result jsonb, OUT changed boolean, OUT refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_stream text := p_op->>'s';
    v_group text := p_op->>'g';
    v_position bigint := (p_op->>'e')::bigint;
    v_head record;
    v_rows int;
BEGIN
    SELECT s.first, s.last, s.dropped, s.version INTO v_head FROM hive.streams s WHERE s.ns = p_ns AND s.stream = v_stream;
    IF NOT FOUND AND p_op ? 'a' AND NOT p_alone THEN
        RAISE EXCEPTION USING ERRCODE = 'HS002', MESSAGE = 'the trip depends on an absence';
    END IF;
    IF v_head.version > p_version THEN  -- it was absent when the heads were locked
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a stream was made meanwhile';
    END IF;
    changed := true;
    CASE p_op->>'k'
    WHEN 'append' THEN
        v_head.last := hive.head(p_ns, p_version, v_stream, v_head.last) + 1;
        UPDATE hive.streams s SET last = v_head.last, dropped = false, version = p_version
        WHERE s.ns = p_ns AND s.stream = v_stream;
        INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
        VALUES (p_ns, v_stream, v_head.last, p_version, p_body, (p_op->>'r')::boolean, p_at);
        result := to_jsonb(v_head.last);
    WHEN 'create_group' THEN
        v_head.last := hive.head(p_ns, p_version, v_stream, v_head.last);
        INSERT INTO hive.groups (ns, stream, grp, version, position, max_deliveries)
        VALUES (p_ns, v_stream, v_group, p_version, least(v_position, v_head.last), (p_op->>'m')::int)
        ON CONFLICT DO NOTHING;
        changed := FOUND;
        result := to_jsonb(changed);
    WHEN 'seek' THEN
        UPDATE hive.groups g
        SET position = greatest(0, least(v_position, v_head.last)), version = p_version
        WHERE g.ns = p_ns AND g.stream = v_stream AND g.grp = v_group;
        IF NOT FOUND THEN
            changed := false;
            refusal := jsonb_build_object('f', 'missing', 'r', jsonb_build_array('g', v_stream, v_group), 'k', false,
                                          'e', 0, 'a', 0);
            RETURN;
        END IF;
        DELETE FROM hive.pending p WHERE p.ns = p_ns AND p.stream = v_stream AND p.grp = v_group;
    WHEN 'drop_group' THEN
        DELETE FROM hive.pending p WHERE p.ns = p_ns AND p.stream = v_stream AND p.grp = v_group;
        DELETE FROM hive.groups g WHERE g.ns = p_ns AND g.stream = v_stream AND g.grp = v_group;
        changed := FOUND;
        result := to_jsonb(changed);
    WHEN 'trim' THEN
        result := hive.trim(p_ns, p_version, v_stream, coalesce(v_head.first, 1), coalesce(v_head.last, 0), v_position,
                            (p_op->>'r')::boolean);
        changed := (result->>'removed')::bigint > 0;
    WHEN 'drop_stream' THEN
        DELETE FROM hive.pending p WHERE p.ns = p_ns AND p.stream = v_stream;
        DELETE FROM hive.groups g WHERE g.ns = p_ns AND g.stream = v_stream;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        DELETE FROM hive.events e WHERE e.ns = p_ns AND e.stream = v_stream;
        UPDATE hive.streams s SET first = s.last + 1, dropped = true, version = p_version
        WHERE s.ns = p_ns AND s.stream = v_stream AND NOT s.dropped;
        result := to_jsonb(FOUND);
        changed := FOUND OR v_rows > 0;
    END CASE;
END $$;
