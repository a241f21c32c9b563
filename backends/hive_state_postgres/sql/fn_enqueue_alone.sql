-- A commit trip of a single Enqueue without dedupe key and parents. As put_alone.
CREATE OR REPLACE FUNCTION hive.enqueue_alone(
    p_ns int, p_trip text, p_id text, p_queue text, p_payload bytea, p_raw boolean, p_priority smallint, p_delay bigint,
    p_attempts int, p_lane text, p_requires text[],
    OUT epoch bigint, OUT at bigint, OUT version bigint, OUT olds int[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_at bigint := hive.instant(p_ns, v_control.floor);
    v_counter bigint := nextval('hive.counter');
    v_version bigint := (v_control.term << 43) + v_counter;
BEGIN
    epoch := v_control.epoch;
    at := v_at;
    version := v_version;
    INSERT INTO hive.tasks (ns, id, version, queue, state, priority, ord, due_at, payload, raw, lane, requires,
                            parents, unmet, attempt, max_attempts, token, cancel_requested, result_raw,
                            created_at, updated_at)
    VALUES (p_ns, p_id, v_version, p_queue, CASE WHEN p_delay > 0 THEN 'scheduled' ELSE 'ready' END, p_priority,
            v_control.order_floor + (v_counter << 10), v_at + p_delay, p_payload, p_raw, p_lane, p_requires,
            '{}', 0, 0, p_attempts, 0, false, false, v_at, v_at)
    ON CONFLICT (ns, id) DO NOTHING;
    IF FOUND THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, ids)
        VALUES (p_ns, p_trip, 'commit', v_control.epoch, v_at, v_version, 'e', ARRAY[p_id]);
    ELSE
        olds := '{1}';
    END IF;
END $$;
