-- One Enqueue of the general path: its result, or the refusal because of a parent that does not exist.
CREATE OR REPLACE FUNCTION hive.apply_enqueue(
    p_ns int, p_version bigint, p_at bigint, p_order bigint, p_op jsonb, p_payload bytea,
    OUT result jsonb, OUT changed boolean, OUT refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_id text := p_op->>'t';
    v_queue text := p_op->>'q';
    v_key text := p_op->>'d';
    v_delay bigint := (p_op->>'l')::bigint;
    v_parents text[] := '{}';
    v_present text[];
    v_missing text;
    v_holder text;
    v_unmet int := 0;
BEGIN
    changed := false;
    PERFORM 1 FROM hive.tasks WHERE ns = p_ns AND id = v_id;
    IF FOUND THEN
        result := jsonb_build_object('id', v_id, 'created', false);
        RETURN;
    END IF;
    IF v_key IS NOT NULL THEN
        SELECT id INTO v_holder FROM hive.tasks
        WHERE ns = p_ns AND queue = v_queue AND dedupe_key = v_key
          AND dedupe_key IS NOT NULL AND finished_at IS NULL;
        IF FOUND THEN
            result := jsonb_build_object('id', v_holder, 'created', false);
            RETURN;
        END IF;
    END IF;
    IF p_op ? 'p' THEN
        v_parents := ARRAY(SELECT jsonb_array_elements_text(p_op->'p'));
        WITH found AS MATERIALIZED (
            SELECT id, state FROM hive.tasks WHERE ns = p_ns AND id = ANY (v_parents) ORDER BY id FOR UPDATE
        )
        SELECT coalesce(array_agg(id), '{}'), count(*) FILTER (WHERE state <> 'completed')
        INTO v_present, v_unmet FROM found;
        SELECT min(p COLLATE "C") INTO v_missing FROM unnest(v_parents) p WHERE p <> ALL (v_present);
        IF v_missing IS NOT NULL THEN
            refusal := jsonb_build_object('f', 'missing', 'r', jsonb_build_array('t', v_missing), 'k', false,
                                          'e', 0, 'a', 0);
            RETURN;
        END IF;
    END IF;
    INSERT INTO hive.tasks (ns, id, version, queue, state, priority, ord, due_at, payload, raw, dedupe_key, lane,
                            requires, parents, unmet, attempt, max_attempts, token, cancel_requested, result_raw,
                            created_at, updated_at)
    VALUES (p_ns, v_id, p_version, v_queue,
            CASE WHEN v_unmet > 0 THEN 'waiting' WHEN v_delay > 0 THEN 'scheduled' ELSE 'ready' END,
            (p_op->>'pr')::smallint, p_order, p_at + v_delay, p_payload, (p_op->>'r')::boolean, v_key, p_op->>'n',
            ARRAY(SELECT jsonb_array_elements_text(p_op->'rq')), v_parents, v_unmet, 0, (p_op->>'m')::int, 0,
            false, false, p_at, p_at)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a task was made meanwhile';
    END IF;
    IF cardinality(v_parents) > 0 THEN
        INSERT INTO hive.task_children SELECT p_ns, p, v_id FROM unnest(v_parents) p;
    END IF;
    changed := true;
    result := jsonb_build_object('id', v_id, 'created', true);
END $$;
