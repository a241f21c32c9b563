-- The fence of a write trip, then the control row under it. `p_alone`: no other write trip is open meanwhile.
CREATE OR REPLACE FUNCTION hive.enter(p_ns int, p_alone boolean) RETURNS hive.control LANGUAGE plpgsql AS $$
DECLARE v_control hive.control;
BEGIN
    IF p_alone THEN
        PERFORM pg_advisory_xact_lock('hive.control'::regclass::oid::int, p_ns);
    ELSE
        PERFORM pg_advisory_xact_lock_shared('hive.control'::regclass::oid::int, p_ns);
    END IF;
    SELECT * INTO v_control FROM hive.control WHERE ns = p_ns;  -- a statement after the lock: it sees the newest
    IF v_control.state IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION USING ERRCODE = 'HS010', MESSAGE = coalesce(v_control.state, 'dropped'),
            DETAIL = coalesce(v_control.peer, '');
    END IF;
    IF cardinality(v_control.sinks) > 0 THEN  -- for the triggers of `capturing`
        PERFORM set_config('hive_state.sinks', array_to_string(v_control.sinks, E'\n'), true);
    END IF;
    RETURN v_control;
END $$;
