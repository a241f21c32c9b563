-- In one queue, at most `p_limit` of each, earliest first: leases that are over are taken away, due tasks become
-- ready. What another trip holds is passed over. Versions are taken once the rows are locked.
CREATE OR REPLACE FUNCTION hive.turn_queue(
    p_ns int, p_term bigint, p_at bigint, p_queue text, p_limit int, OUT overdue int, OUT promoted int
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids text[];
    v_version bigint;
BEGIN
    SELECT array_agg(id) INTO v_ids FROM (
        SELECT id FROM hive.tasks
        WHERE ns = p_ns AND queue = p_queue AND state = 'leased' AND lease_until <= p_at
        ORDER BY lease_until LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) held;
    overdue := coalesce(cardinality(v_ids), 0);
    IF overdue > 0 THEN
        v_version := (p_term << 43) + nextval('hive.counter');
        UPDATE hive.tasks
        SET version = v_version, updated_at = p_at, token = 0, lease_until = NULL, worker = NULL,
            error = 'lease expired',
            state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempt >= max_attempts THEN 'dead' ELSE 'ready' END,
            finished_at = CASE WHEN cancel_requested OR attempt >= max_attempts THEN p_at END
        WHERE ns = p_ns AND id = ANY (v_ids);
    END IF;
    SELECT array_agg(id) INTO v_ids FROM (
        SELECT id FROM hive.tasks
        WHERE ns = p_ns AND queue = p_queue AND state = 'scheduled' AND due_at <= p_at
        ORDER BY due_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) due;
    promoted := coalesce(cardinality(v_ids), 0);
    IF promoted > 0 THEN
        v_version := (p_term << 43) + nextval('hive.counter');
        UPDATE hive.tasks SET version = v_version, updated_at = p_at, state = 'ready'
        WHERE ns = p_ns AND id = ANY (v_ids);
    END IF;
END $$;
