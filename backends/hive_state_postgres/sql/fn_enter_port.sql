-- The fence, shared, for what is written through the replication port; the control row under it, in whatever state.
CREATE OR REPLACE FUNCTION hive.enter_port(p_ns int) RETURNS hive.control LANGUAGE plpgsql AS $$
DECLARE v_control hive.control;
BEGIN
    PERFORM pg_advisory_xact_lock_shared('hive.control'::regclass::oid::int, p_ns);
    SELECT * INTO v_control FROM hive.control WHERE ns = p_ns;
    IF cardinality(v_control.sinks) > 0 THEN
        PERFORM set_config('hive_state.sinks', array_to_string(v_control.sinks, E'\n'), true);
    END IF;
    RETURN v_control;
END $$;
