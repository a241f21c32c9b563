-- `p_last`, that of a head which is locked; where there is none yet (NULL), one is made, of a stream without events.
CREATE OR REPLACE FUNCTION hive.head(p_ns int, p_version bigint, p_stream text, p_last bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF p_last IS NOT NULL THEN
        RETURN p_last;
    END IF;
    INSERT INTO hive.streams (ns, stream, version, first, last, dropped) VALUES (p_ns, p_stream, p_version, 1, 0, true)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a stream was made meanwhile';
    END IF;
    RETURN 0;
END $$;
