-- A Gone in the place of what is deleted, and its marks. The version is of this trip: later ones of the entity wait for its
-- locks, and take theirs behind them.
CREATE OR REPLACE FUNCTION hive.bury(p_ns int, p_kind text, p_name text, p_part text, p_seq bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_version bigint := ((SELECT term FROM hive.control WHERE ns = p_ns) << 43) + nextval('hive.counter');
BEGIN
    INSERT INTO hive.gone AS g (ns, kind, name, part, seq, version)
    VALUES (p_ns, p_kind, p_name, p_part, p_seq, v_version)
    ON CONFLICT (ns, kind, name, part, seq) DO UPDATE SET version = greatest(g.version, excluded.version);
    PERFORM hive.mark(p_ns, p_kind, p_name, p_part, p_seq, v_version);
END $$;
