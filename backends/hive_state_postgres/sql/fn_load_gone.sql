-- A Gone that came from another store, and its marks.
CREATE OR REPLACE FUNCTION hive.load_gone(
    p_ns int, p_kind text, p_name text, p_part text, p_seq bigint, p_version bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hive.gone (ns, kind, name, part, seq, version)
    VALUES (p_ns, p_kind, p_name, p_part, p_seq, p_version)
    ON CONFLICT (ns, kind, name, part, seq) DO UPDATE SET version = excluded.version;
    PERFORM hive.mark(p_ns, p_kind, p_name, p_part, p_seq, p_version);
END $$;
