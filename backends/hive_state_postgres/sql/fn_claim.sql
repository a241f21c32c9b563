-- A claim trip. Requests come in runs, which are served as one by its order: neighbours in the same queue with the same
-- capabilities, or those for the same group of a stream. Request n of run r gets what follows the first `p_skips[n]` of
-- that run. Nothing is waited for but the fence, the pause of a queue, and groups that have something (`p_run_groups` is
-- empty if no events are asked for). One row for each task; one for each event, with its seq as `ord`, its instant as
-- `created_at` and its body as `payload`; then one without either that closes the reply. In `next_dues`, false: no group.
CREATE OR REPLACE FUNCTION hive.slots(p_run int, p_runs int[], p_skips int[], p_limits int[], p_count int)
RETURNS int[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(r.slot ORDER BY r.slot, n)
        FROM unnest(p_runs, p_skips, p_limits) WITH ORDINALITY r(run, skip, lim, slot),
             generate_series(r.skip + 1, least(r.skip + r.lim, p_count)) n
        WHERE r.run = p_run);
END $$;
CREATE OR REPLACE FUNCTION hive.claim(
    p_ns int, p_trip text, p_shape text, p_queues text[], p_run_queues text[], p_run_capabilities text[], p_run_limits int[],
    p_run_groups text[], p_runs int[], p_skips int[], p_limits int[], p_workers text[], p_leases bigint[], p_turn int, p_room bigint
) RETURNS TABLE (
    slot int, id text, version bigint, queue text, state text, priority smallint, ord bigint, due_at bigint,
    payload bytea, raw boolean, dedupe_key text, requires text[], parents text[], unmet int, attempt int,
    max_attempts int, token bigint, lease_until bigint, worker text, cancel_requested boolean, error text,
    result bytea, result_raw boolean, created_at bigint, updated_at bigint, finished_at bigint,
    epoch bigint, at bigint, changed boolean, next_dues text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_at bigint;
    v_queue text;
    v_run int;
    v_lanes text[];
    v_turned record;
    v_more boolean[] := '{}';
    v_picked record;
    v_slots int[];
    v_version bigint := 0;
    v_all_ids text[] := '{}';
    v_all_slots int[] := '{}';
    v_tokens bigint[] := '{}';
    v_room bigint := p_room;
    v_changed boolean := false;
    v_due bigint;
    v_dues jsonb[] := '{}';
    v_paused boolean;
    v_ready boolean[];
    v_seqs bigint[] := '{}';
    v_seq_slots int[] := '{}';
    v_seq_tokens bigint[] := '{}';
BEGIN
    FOREACH v_queue IN ARRAY p_queues LOOP
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(v_queue, p_ns));
    END LOOP;
    v_at := hive.instant(p_ns, v_control.floor);
    IF cardinality(p_run_groups) > 0 THEN
        v_ready := hive.lock_ready(p_ns, v_at, p_run_queues, p_run_groups);
        IF true = ANY (v_ready) THEN  -- locks were waited for; else nothing was due by the instant of the look
            v_at := hive.instant(p_ns, v_control.floor);
        END IF;
    END IF;
    FOREACH v_queue IN ARRAY p_queues LOOP
        SELECT * INTO v_turned FROM hive.turn_queue(p_ns, v_control.term, v_at, v_queue, p_turn);
        v_changed := v_changed OR v_turned.overdue + v_turned.promoted > 0;
        v_more := v_more || (v_turned.overdue = p_turn OR v_turned.promoted = p_turn);
    END LOOP;
    FOR v_run IN 1 .. cardinality(p_run_queues) LOOP
        v_queue := p_run_queues[v_run];
        v_due := NULL;
        IF p_run_groups[v_run] IS NOT NULL THEN
            v_version := (v_control.term << 43) + nextval('hive.counter');
            SELECT * INTO v_picked FROM hive.pick_events(p_ns, v_version, v_at, v_queue, p_run_groups[v_run],
                                                         v_ready[v_run], p_run_limits[v_run], v_room, p_turn);
            v_changed := v_changed OR v_picked.changed;
            v_room := v_room - v_picked.bytes;
            IF cardinality(v_picked.seqs) > 0 THEN
                v_slots := hive.slots(v_run, p_runs, p_skips, p_limits, cardinality(v_picked.seqs));
                v_seqs := v_seqs || v_picked.seqs;
                v_seq_slots := v_seq_slots || v_slots;
                v_seq_tokens := v_seq_tokens || array_fill(v_version, ARRAY[cardinality(v_slots)]);
                RETURN QUERY
                SELECT h.slot, NULL::text, h.version, NULL::text, NULL::text, NULL::smallint, h.seq, NULL::bigint,
                       h.body, h.raw, NULL::text, NULL::text[], NULL::text[], NULL::int, h.deliveries, NULL::int,
                       v_version, h.until, NULL::text, NULL::boolean, NULL::text, NULL::bytea, NULL::boolean, h.at,
                       NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::boolean, NULL::text
                FROM hive.hand_out(p_ns, v_version, v_at, v_queue, p_run_groups[v_run], v_picked.seqs, v_slots,
                                   p_workers, p_leases) h;
            END IF;
            v_dues := v_dues || CASE
                WHEN v_picked.cut IS NULL THEN 'false'
                WHEN v_picked.cut THEN to_jsonb(v_at)
                ELSE coalesce(to_jsonb(hive.next_delivery(p_ns, v_at, v_queue, p_run_groups[v_run])), 'null') END;
            CONTINUE;
        END IF;
        SELECT q.paused INTO v_paused FROM hive.queues q WHERE q.ns = p_ns AND q.queue = v_queue;
        IF NOT coalesce(v_paused, false) THEN
            v_lanes := hive.covered_lanes(p_ns, v_queue,
                                          ARRAY(SELECT jsonb_array_elements_text(p_run_capabilities[v_run]::jsonb)));
            IF v_room >= 0 THEN
                SELECT * INTO v_picked FROM hive.pick(p_ns, v_queue, v_lanes, p_run_limits[v_run], v_room);
            ELSE
                SELECT '{}'::text[] AS ids, '{}'::tid[] AS tids, 0::bigint AS bytes, true AS cut INTO v_picked;
            END IF;
            IF cardinality(v_picked.ids) > 0 THEN
                v_room := v_room - v_picked.bytes;
                v_version := (v_control.term << 43) + nextval('hive.counter');
                v_changed := true;
                v_slots := hive.slots(v_run, p_runs, p_skips, p_limits, cardinality(v_picked.ids));
                v_all_ids := v_all_ids || v_picked.ids;
                v_all_slots := v_all_slots || v_slots;
                v_tokens := v_tokens || array_fill(v_version, ARRAY[cardinality(v_slots)]);
                RETURN QUERY
                UPDATE hive.tasks t
                SET version = v_version, token = v_version, state = 'leased', attempt = t.attempt + 1,
                    lease_until = v_at + p_leases[u.slot], worker = p_workers[u.slot], updated_at = v_at
                FROM unnest(v_picked.tids, v_slots) u(tid, slot)
                WHERE t.ctid = u.tid
                RETURNING u.slot, t.id, t.version, t.queue, t.state, t.priority, t.ord, t.due_at, t.payload, t.raw,
                          t.dedupe_key, t.requires, t.parents, t.unmet, t.attempt, t.max_attempts, t.token,
                          t.lease_until, t.worker, t.cancel_requested, t.error, t.result, t.result_raw,
                          t.created_at, t.updated_at, t.finished_at, NULL::bigint, NULL::bigint, NULL::boolean,
                          NULL::text;
            END IF;
            IF cardinality(v_picked.ids) < p_run_limits[v_run] THEN
                IF v_picked.cut OR v_more[array_position(p_queues, v_queue)] OR EXISTS (
                    SELECT 1 FROM unnest(v_lanes) l(lane), hive.tasks t
                    WHERE t.ns = p_ns AND t.queue = v_queue AND t.state = 'ready' AND t.lane = l.lane
                ) THEN
                    v_due := v_at;
                ELSE
                    v_due := least(
                        (SELECT t.due_at FROM hive.tasks t WHERE t.ns = p_ns AND t.queue = v_queue
                             AND t.state = 'scheduled' ORDER BY t.due_at LIMIT 1),
                        (SELECT t.lease_until FROM hive.tasks t WHERE t.ns = p_ns AND t.queue = v_queue
                             AND t.state = 'leased' ORDER BY t.lease_until LIMIT 1));
                    IF v_due < v_at THEN  -- another trip holds what is due
                        v_due := v_at;
                    END IF;
                END IF;
            END IF;
        END IF;
        v_dues := v_dues || coalesce(to_jsonb(v_due), 'null');
    END LOOP;
    IF v_changed THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, ids, seqs, slots, tokens, others)
        VALUES (p_ns, p_trip, 'claim', v_control.epoch, v_at, v_version, p_shape, v_all_ids, v_seqs,
                v_all_slots || v_seq_slots, v_tokens || v_seq_tokens, to_jsonb(v_dues));
    END IF;
    slot := NULL;
    epoch := v_control.epoch;
    at := v_at;
    changed := v_changed;
    next_dues := to_jsonb(v_dues)::text;
    RETURN NEXT;
END $$;
