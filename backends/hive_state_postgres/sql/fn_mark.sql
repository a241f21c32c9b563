-- A mark for each sink that the transaction has said there is (see fn_enter), but for `cache`, which has marks of its own.
CREATE OR REPLACE FUNCTION hive.mark(p_ns int, p_kind text, p_name text, p_part text, p_seq bigint, p_version bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hive.marks AS m (ns, sink, kind, name, part, seq, version)
    SELECT p_ns, s, p_kind, p_name, p_part, p_seq, p_version
    FROM unnest(string_to_array(current_setting('hive_state.sinks', true), E'\n')) s WHERE s NOT IN ('', 'cache')
    ON CONFLICT (ns, sink, kind, name, part, seq) DO UPDATE SET version = greatest(m.version, excluded.version);
END $$;
