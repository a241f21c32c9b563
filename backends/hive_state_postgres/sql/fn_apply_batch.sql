-- One batch of the general path: {"x": results, "c": whether it changed anything}, or a refusal. A refusal that comes
-- after a write leaves as an error, for the savepoint that the caller has set.
CREATE OR REPLACE FUNCTION hive.apply_batch(
    p_ns int, p_version bigint, p_at bigint, p_order bigint, p_alone boolean, p_batch jsonb, p_values bytea[]
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_item jsonb;
    v_part record;
    v_refusal jsonb;
    v_index int := -1;
    v_results jsonb[] := '{}';
    v_changed boolean := false;
BEGIN
    FOR v_item IN SELECT x FROM jsonb_array_elements(p_batch->'c') x LOOP
        v_index := v_index + 1;
        v_refusal := hive.apply_check(p_ns, p_at, p_alone, v_item);
        IF v_refusal IS NOT NULL THEN
            RETURN v_refusal || jsonb_build_object('i', v_index);
        END IF;
    END LOOP;
    v_index := -1;
    FOR v_item IN SELECT x FROM jsonb_array_elements(p_batch->'o') x LOOP
        v_index := v_index + 1;
        CASE
        WHEN v_item ? 'y' THEN
            v_part := hive.apply_record(p_ns, p_version, p_at, p_alone, v_item, p_values[(v_item->>'v')::int]);
        WHEN v_item ? 's' AND v_item ? 'd' THEN
            v_part := hive.apply_deliveries(p_ns, p_version, p_at, v_item);
        WHEN v_item ? 's' THEN
            v_part := hive.apply_stream(p_ns, p_version, p_at, p_alone, v_item, p_values[(v_item->>'v')::int]);
        WHEN v_item->>'k' = 'enqueue' THEN
            v_part := hive.apply_enqueue(p_ns, p_version, p_at, p_order + (v_item->>'z')::int, v_item,
                                         p_values[(v_item->>'v')::int]);
        WHEN v_item->>'k' = 'pause' THEN
            INSERT INTO hive.queues (ns, queue, version, paused)
            VALUES (p_ns, v_item->>'q', p_version, (v_item->>'r')::boolean)
            ON CONFLICT (ns, queue) DO UPDATE SET version = excluded.version, paused = excluded.paused;
            SELECT NULL::jsonb AS result, true AS changed, NULL::jsonb AS refusal INTO v_part;
        ELSE
            v_part := hive.apply_task(p_ns, p_version, p_at, p_alone, v_item, p_values[(v_item->>'v')::int]);
        END CASE;
        IF v_part.refusal IS NOT NULL THEN
            v_refusal := v_part.refusal || jsonb_build_object('i', v_index);
            IF v_changed THEN
                RAISE EXCEPTION USING ERRCODE = 'HS003', MESSAGE = 'refused', DETAIL = v_refusal::text;
            END IF;
            RETURN v_refusal;
        END IF;
        v_changed := v_changed OR v_part.changed;
        v_results := v_results || coalesce(v_part.result, 'null'::jsonb);
    END LOOP;
    RETURN jsonb_build_object('x', to_jsonb(v_results), 'c', v_changed);
END $$;
