-- One operation of the general path on a task that should be there: its result, or the refusal because its lease is
-- not current. The words are those of hive_state_core.transitions.
CREATE OR REPLACE FUNCTION hive.apply_task(
    p_ns int, p_version bigint, p_at bigint, p_alone boolean, p_op jsonb, p_value bytea,
    OUT result jsonb, OUT changed boolean, OUT refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_kind text := p_op->>'k';
    v_id text := p_op->>'t';
    v_ms bigint := (p_op->>'l')::bigint;
    v_state text;
    v_free boolean := true;
    t record;
BEGIN
    changed := false;
    SELECT state, queue, priority, dedupe_key, attempt, max_attempts, token, due_at, lease_until, worker,
           cancel_requested, unmet, error, finished_at
    INTO t FROM hive.tasks WHERE ns = p_ns AND id = v_id AND version <= p_version;
    IF v_kind IN ('complete', 'fail', 'release', 'extend') THEN
        IF t.state IS DISTINCT FROM 'leased' OR t.token <> (p_op->>'e')::bigint THEN
            refusal := jsonb_build_object('f', 'lease', 'r', jsonb_build_array('t', v_id), 'k', false,
                                          'e', (p_op->>'e')::bigint, 'a', coalesce(t.token, 0));
            RETURN;
        END IF;
    ELSIF t.state IS NULL THEN
        IF p_op ? 'a' AND NOT p_alone THEN
            RAISE EXCEPTION USING ERRCODE = 'HS002', MESSAGE = 'the trip depends on an absence';
        END IF;
        result := CASE WHEN v_kind = 'take' THEN to_jsonb(0) WHEN v_kind <> 'cancel' THEN to_jsonb(false) END;
        RETURN;
    END IF;
    v_state := t.state;
    CASE v_kind
    WHEN 'complete' THEN
        v_state := 'completed';
    WHEN 'fail' THEN
        t.error := p_op->>'x';
        IF t.cancel_requested THEN
            v_state := 'cancelled';
        ELSIF v_ms IS NULL OR t.attempt >= t.max_attempts THEN
            v_state := 'dead';
        ELSE
            t.due_at := p_at + v_ms;
            v_state := CASE WHEN v_ms > 0 THEN 'scheduled' ELSE 'ready' END;
        END IF;
        result := jsonb_build_object('state', v_state);
    WHEN 'release' THEN
        t.attempt := t.attempt - 1;
        IF t.cancel_requested THEN
            v_state := 'cancelled';
        ELSIF v_ms > 0 THEN
            v_state := 'scheduled';
            t.due_at := p_at + v_ms;
        ELSE
            v_state := 'ready';
        END IF;
        result := jsonb_build_object('state', v_state);
    WHEN 'extend' THEN
        v_free := false;
        t.lease_until := greatest(t.lease_until, p_at + v_ms);
        result := jsonb_build_object('lease_until', t.lease_until, 'cancel_requested', t.cancel_requested);
    WHEN 'cancel' THEN
        result := jsonb_build_object('state', v_state);
        IF v_state = 'leased' AND NOT t.cancel_requested THEN
            v_free := false;
            t.cancel_requested := true;
        ELSIF v_state IN ('waiting', 'scheduled', 'ready') THEN
            v_state := 'cancelled';
            result := jsonb_build_object('state', v_state);
        ELSE
            RETURN;
        END IF;
    WHEN 'redrive' THEN
        result := to_jsonb(false);
        IF v_state NOT IN ('dead', 'cancelled') THEN
            RETURN;
        END IF;
        PERFORM 1 FROM hive.tasks h
        WHERE h.ns = p_ns AND h.queue = t.queue AND h.dedupe_key = t.dedupe_key
          AND h.dedupe_key IS NOT NULL AND h.finished_at IS NULL;
        IF FOUND THEN
            RETURN;
        END IF;
        result := to_jsonb(true);
        v_state := CASE WHEN t.unmet > 0 THEN 'waiting' ELSE 'ready' END;
        t.due_at := p_at;
        t.attempt := 0;
        t.cancel_requested := false;
    WHEN 'take' THEN
        result := to_jsonb(0);
        IF v_state <> 'ready' AND (v_state <> 'scheduled' OR t.due_at > p_at) THEN
            RETURN;
        END IF;
        v_free := false;
        v_state := 'leased';
        t.attempt := t.attempt + 1;
        t.token := p_version;
        t.worker := p_op->>'w';
        t.lease_until := p_at + v_ms;
        result := to_jsonb(p_version);
    WHEN 'prioritize' THEN
        result := to_jsonb(t.finished_at IS NULL);
        IF t.finished_at IS NOT NULL THEN
            RETURN;
        END IF;
        v_free := false;
        t.priority := (p_op->>'pr')::smallint;
    END CASE;
    changed := true;
    IF v_free THEN
        t.token := 0;
        t.worker := NULL;
        t.lease_until := NULL;
    END IF;
    UPDATE hive.tasks
    SET version = p_version, updated_at = p_at, state = v_state, attempt = t.attempt, due_at = t.due_at,
        cancel_requested = t.cancel_requested, error = t.error, priority = t.priority, token = t.token,
        worker = t.worker, lease_until = t.lease_until,
        result = CASE WHEN v_kind = 'complete' THEN p_value ELSE tasks.result END,
        result_raw = CASE WHEN v_kind = 'complete' THEN (p_op->>'r')::boolean ELSE result_raw END,
        finished_at = CASE WHEN v_state IN ('completed', 'cancelled', 'dead') THEN p_at END
    WHERE ns = p_ns AND id = v_id;
    IF v_kind = 'complete' THEN
        PERFORM hive.release_children(p_ns, p_version, p_at, ARRAY[v_id]);
    END IF;
END $$;
