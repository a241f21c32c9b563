-- The fence, shared, for images that are loaded: in whatever state the store is. One load at a time, or one could leave a
-- Gone where another puts the entity back. `gones`: there are some.
CREATE OR REPLACE FUNCTION hive.enter_port(p_ns int, OUT state text, OUT gones boolean) LANGUAGE plpgsql AS $$
DECLARE v_sinks text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared('hive.control'::regclass::oid::int, p_ns);
    SELECT c.state, c.sinks INTO state, v_sinks FROM hive.control c WHERE c.ns = p_ns FOR NO KEY UPDATE;
    IF cardinality(v_sinks) > 0 THEN
        PERFORM set_config('hive_state.sinks', array_to_string(v_sinks, E'\n'), true);
    END IF;
    gones := EXISTS (SELECT 1 FROM hive.gone g WHERE g.ns = p_ns);
END $$;
