-- A commit trip of a single Append. As put_alone: one UPDATE, which locks the head of the stream; the instant is taken after
-- it, so that those of a stream's events never go back.
CREATE OR REPLACE FUNCTION hive.append_alone(
    p_ns int, p_trip text, p_stream text, p_body bytea, p_raw boolean,
    OUT epoch bigint, OUT at bigint, OUT version bigint, OUT seqs bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_version bigint;
    v_seq bigint;
    v_at bigint;
BEGIN
    UPDATE hive.streams s
    SET last = s.last + 1, dropped = false, version = (v_control.term << 43) + nextval('hive.counter')
    WHERE s.ns = p_ns AND s.stream = p_stream
    RETURNING s.version, s.last INTO v_version, v_seq;
    IF NOT FOUND THEN
        v_version := (v_control.term << 43) + nextval('hive.counter');
        v_seq := 1;
        INSERT INTO hive.streams (ns, stream, version, first, last, dropped)
        VALUES (p_ns, p_stream, v_version, 1, v_seq, false)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a stream was made meanwhile';
        END IF;
    END IF;
    v_at := hive.instant(p_ns, v_control.floor);
    INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
    VALUES (p_ns, p_stream, v_seq, v_version, p_body, p_raw, v_at);
    INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, seqs)
    VALUES (p_ns, p_trip, 'commit', v_control.epoch, v_at, v_version, 'a', ARRAY[v_seq]);
    epoch := v_control.epoch;
    at := v_at;
    version := v_version;
    seqs := ARRAY[v_seq];
END $$;
