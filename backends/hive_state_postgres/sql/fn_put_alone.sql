-- A commit trip of a single Put, with at most the check that its record has version `p_expect` (-1: none): what commit_flat
-- would do, for a lone caller, to whom each statement and each argument counts. A record that is there and as expected takes
-- one UPDATE, which locks it and then, if others wrote it meanwhile, takes a version anew. All else goes by sets.
CREATE OR REPLACE FUNCTION hive.put_alone(
    p_ns int, p_trip text, p_collection text, p_key text, p_expect bigint, p_value bytea, p_raw boolean, p_fields text,
    p_ttl bigint, OUT epoch bigint, OUT at bigint, OUT version bigint, OUT others text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_at bigint := hive.instant(p_ns, v_control.floor);
    v_version bigint;
    v_locked boolean;
    v_part record;
BEGIN
    epoch := v_control.epoch;
    at := v_at;
    UPDATE hive.records r
    SET version = (v_control.term << 43) + nextval('hive.counter'), value = p_value, raw = p_raw, index_fields = p_fields,
        updated_at = v_at, expires_at = CASE WHEN p_ttl = -1 THEN r.expires_at ELSE v_at + p_ttl END
    WHERE r.ns = p_ns AND r.collection = p_collection AND r.key = p_key AND (p_expect = -1 OR r.version = p_expect)
      AND r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > v_at)
    RETURNING r.version INTO v_version;
    IF NOT FOUND THEN
        v_locked := hive.lock(p_ns, ARRAY[p_collection], ARRAY[p_key], '{}', '{}', '{}', '{}', '{}');
        v_version := (v_control.term << 43) + nextval('hive.counter');
        v_part := hive.apply_puts(p_ns, v_version, v_at, '{0}', ARRAY[p_collection], ARRAY[p_key], ARRAY[p_expect],
                                  ARRAY[p_value], ARRAY[p_raw], ARRAY[p_fields], ARRAY[p_ttl], '{}');
        others := v_part.others::text;
    END IF;
    version := v_version;
    IF others IS NULL THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape)
        VALUES (p_ns, p_trip, 'commit', v_control.epoch, v_at, v_version, 'p');
    END IF;
END $$;
