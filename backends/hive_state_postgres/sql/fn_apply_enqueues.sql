-- Enqueues of flat batches, without dedupe key and parents. As apply_puts; an id that is there already is no refusal:
-- `olds` says which of them, from 1. `p_order` + the number in `p_orders` is a task's order. If one is made meanwhile, its
-- index says so, and the trip begins anew: that takes less than ON CONFLICT, which writes each row twice to the log.
CREATE OR REPLACE FUNCTION hive.apply_enqueues(
    p_ns int, p_version bigint, p_at bigint, p_order bigint, p_places int[], p_orders int[], p_ids text[], p_queues text[],
    p_payloads bytea[], p_raws boolean[], p_priorities smallint[], p_delays bigint[], p_attempts int[],
    p_lanes text[], p_requires text[], p_refused int[], OUT done int, OUT olds int[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO hive.tasks (ns, id, version, queue, state, priority, ord, due_at, payload, raw, lane, requires,
                            parents, unmet, attempt, max_attempts, token, cancel_requested, result_raw,
                            created_at, updated_at)
    SELECT p_ns, u.id, p_version, u.queue, CASE WHEN u.delay > 0 THEN 'scheduled' ELSE 'ready' END, u.priority,
           p_order + u.nth, p_at + u.delay, u.payload, u.raw, u.lane,
           CASE WHEN u.requires = '' THEN '{}'
                ELSE ARRAY(SELECT jsonb_array_elements_text(u.requires::jsonb)) END,
           '{}', 0, 0, u.attempts, 0, false, false, p_at, p_at
    FROM unnest(p_places, p_orders, p_ids, p_queues, p_payloads, p_raws, p_priorities, p_delays, p_attempts, p_lanes,
                p_requires)
        u(place, nth, id, queue, payload, raw, priority, delay, attempts, lane, requires)
    WHERE u.place <> ALL (p_refused)
      AND NOT EXISTS (SELECT 1 FROM hive.tasks t WHERE t.ns = p_ns AND t.id = u.id OFFSET 0);
    GET DIAGNOSTICS done = ROW_COUNT;
    IF done < cardinality(p_places) THEN
        SELECT array_agg(u.n) INTO olds
        FROM unnest(p_places, p_ids) WITH ORDINALITY u(place, id, n), LATERAL (
            SELECT t.version FROM hive.tasks t WHERE t.ns = p_ns AND t.id = u.id OFFSET 0) t
        WHERE t.version <> p_version AND u.place <> ALL (p_refused);
    END IF;
END $$;
