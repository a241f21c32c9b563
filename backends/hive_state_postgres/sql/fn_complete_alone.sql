-- A commit trip of a single Complete. As put_alone: one UPDATE, if nobody waits for the task. Who begins to wait for it
-- locks it first, so once it is written here it can be told for certain.
CREATE OR REPLACE FUNCTION hive.complete_alone(
    p_ns int, p_trip text, p_id text, p_token bigint, p_result bytea, p_raw boolean,
    OUT epoch bigint, OUT at bigint, OUT version bigint, OUT others text
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
    UPDATE hive.tasks t
    SET state = 'completed', version = (v_control.term << 43) + nextval('hive.counter'), token = 0, lease_until = NULL,
        worker = NULL, result = p_result, result_raw = p_raw, updated_at = v_at, finished_at = v_at
    WHERE t.ns = p_ns AND t.id = p_id AND t.token = p_token AND p_token > 0
      AND NOT EXISTS (SELECT 1 FROM hive.task_children c WHERE c.ns = p_ns AND c.parent = p_id OFFSET 0)
    RETURNING t.version INTO v_version;
    IF NOT FOUND THEN
        v_locked := hive.lock(p_ns, '{}', '{}', ARRAY[p_id], ARRAY[p_id], '{}', '{}', '{}');
        v_version := (v_control.term << 43) + nextval('hive.counter');
        v_part := hive.apply_completes(p_ns, v_version, v_at, true, '{0}', ARRAY[p_id], ARRAY[p_token], ARRAY[p_result],
                                       ARRAY[p_raw], '{}');
        others := v_part.others::text;
    ELSIF EXISTS (SELECT 1 FROM hive.task_children c WHERE c.ns = p_ns AND c.parent = p_id OFFSET 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a task began to wait for this one meanwhile';
    END IF;
    version := v_version;
    IF others IS NULL THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape)
        VALUES (p_ns, p_trip, 'commit', v_control.epoch, v_at, v_version, 'c');
    END IF;
END $$;
