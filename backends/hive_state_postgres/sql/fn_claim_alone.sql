-- A claim trip of a single request for one task that requires nothing: what hive.claim would do, for a lone caller. No task:
-- there may be more to it (a pause, leases that are over, tasks that are due, or when to come again), which hive.claim knows.
CREATE OR REPLACE FUNCTION hive.claim_alone(
    p_ns int, p_trip text, p_shape text, p_queue text, p_worker text, p_lease bigint,
    OUT task hive.tasks, OUT epoch bigint, OUT at bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_at bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(p_queue, p_ns));
    v_at := hive.instant(p_ns, v_control.floor);
    IF EXISTS (SELECT 1 FROM hive.queues q WHERE q.ns = p_ns AND q.queue = p_queue AND q.paused)
        OR EXISTS (SELECT 1 FROM hive.tasks t WHERE t.ns = p_ns AND t.queue = p_queue AND t.state = 'leased'
                   AND t.lease_until <= v_at)
        OR EXISTS (SELECT 1 FROM hive.tasks t WHERE t.ns = p_ns AND t.queue = p_queue AND t.state = 'scheduled'
                   AND t.due_at <= v_at)
    THEN
        RETURN;
    END IF;
    UPDATE hive.tasks t
    SET version = n.version, token = n.version, state = 'leased', attempt = t.attempt + 1,
        lease_until = v_at + p_lease, worker = p_worker, updated_at = v_at
    FROM (
        SELECT p.tid, (v_control.term << 43) + nextval('hive.counter') AS version
        FROM (SELECT r.ctid AS tid FROM hive.tasks r
              WHERE r.ns = p_ns AND r.queue = p_queue AND r.state = 'ready' AND r.lane = ''
              ORDER BY r.priority, r.due_at, r.ord LIMIT 1 FOR UPDATE SKIP LOCKED) p OFFSET 0
    ) n
    WHERE t.ctid = n.tid
    RETURNING t.* INTO task;
    IF FOUND THEN
        epoch := v_control.epoch;
        at := v_at;
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, ids, seqs, slots, tokens, others)
        VALUES (p_ns, p_trip, 'claim', v_control.epoch, v_at, task.version, p_shape, ARRAY[task.id], '{}', '{1}',
                ARRAY[task.version], '[null]');
    END IF;
END $$;
