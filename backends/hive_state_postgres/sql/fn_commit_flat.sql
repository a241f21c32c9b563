-- A commit trip of flat batches: their parts are Puts, plain Enqueues, Completes, Appends and Acks, and their checks can be
-- decided before anything is written; so all of it goes set by set. `p_shape` has a letter for each part (p, e, c, a, k),
-- those of a batch of several in parentheses; places count the batches from 0. The checks of Puts, and the leases of
-- Completes, that are alone in their batch are decided where they are written; all others by hive.decide, or, if the trip
-- may hurry, there too, and then the trip begins anew, carefully, if one does not hold.
-- Where nothing is decided before, and `p_careful` is not set, nothing is locked before either: each statement locks what it
-- writes, in the same order as hive.lock, and only what has no version beyond that of the trip. If others were quicker, the
-- trip begins anew, carefully.
CREATE OR REPLACE FUNCTION hive.commit_flat(
    p_ns int, p_trip text, p_shape text, p_careful boolean,
    p_put_places int[], p_collections text[], p_keys text[], p_expects bigint[], p_values bytea[], p_raws boolean[],
    p_fields text[], p_ttls bigint[],
    p_task_places int[], p_orders int[], p_ids text[], p_queues text[], p_payloads bytea[], p_payload_raws boolean[],
    p_priorities smallint[], p_delays bigint[], p_attempts int[], p_lanes text[], p_requires text[],
    p_end_places int[], p_end_ids text[], p_tokens bigint[], p_results bytea[], p_result_raws boolean[],
    p_event_places int[], p_heads int[], p_bodies bytea[], p_body_raws boolean[], p_streams text[],
    p_versions text, p_leases text, p_acks text,
    p_lock_collections text[], p_lock_keys text[], p_lock_ids text[], p_lock_group_streams text[], p_lock_groups text[],
    OUT epoch bigint, OUT at bigint, OUT version bigint, OUT others text, OUT seqs bigint[], OUT olds int[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_control hive.control := hive.enter(p_ns, false);
    v_counter bigint;
    v_part record;
    v_locked boolean := p_careful OR coalesce(p_versions, p_leases, p_acks) IS NOT NULL OR cardinality(p_streams) > 0;
    v_done int := 0;
    v_others jsonb;
    v_refused int[] := '{}';
BEGIN
    IF NOT v_locked AND cardinality(p_end_ids) > 0 THEN
        v_locked := hive.have_children(p_ns, p_end_ids);
    END IF;
    IF v_locked THEN
        PERFORM hive.lock(p_ns, p_collections || p_lock_collections, p_keys || p_lock_keys, p_end_ids || p_lock_ids, p_end_ids,
                          '{}', '{}', '{}');
    END IF;
    IF cardinality(p_streams) + cardinality(p_lock_groups) > 0 THEN
        PERFORM hive.lock_streams(p_ns, p_streams, p_lock_group_streams, p_lock_groups, '{}');
    END IF;
    epoch := v_control.epoch;
    at := hive.instant(p_ns, v_control.floor);
    v_counter := nextval('hive.counter');
    version := (v_control.term << 43) + v_counter;
    IF p_versions IS NOT NULL OR p_leases IS NOT NULL OR p_acks IS NOT NULL THEN
        v_others := hive.decide(p_ns, at, p_versions, p_leases, p_acks);
        v_refused := ARRAY(SELECT (x->>0)::int FROM jsonb_array_elements(v_others) x);
    END IF;
    IF cardinality(p_put_places) > 0 THEN
        v_part := hive.apply_puts(p_ns, version, at, p_put_places, p_collections, p_keys, p_expects,
                                  p_values, p_raws, p_fields, p_ttls, v_refused);
        v_done := v_part.done;
        v_others := coalesce(v_others || v_part.others, v_others, v_part.others);
    END IF;
    IF cardinality(p_task_places) > 0 THEN
        v_part := hive.apply_enqueues(p_ns, version, at, v_control.order_floor + (v_counter << 10), p_task_places, p_orders, p_ids,
                                      p_queues, p_payloads, p_payload_raws, p_priorities, p_delays, p_attempts,
                                      p_lanes, p_requires, v_refused);
        v_done := v_done + v_part.done;
        olds := v_part.olds;
    END IF;
    IF cardinality(p_end_places) > 0 THEN
        v_part := hive.apply_completes(p_ns, version, at, v_locked, p_end_places, p_end_ids, p_tokens,
                                       p_results, p_result_raws, v_refused);
        v_done := v_done + v_part.done;
        v_others := coalesce(v_others || v_part.others, v_others, v_part.others);
    END IF;
    IF p_acks IS NOT NULL THEN
        v_done := v_done + hive.apply_acks(p_ns, version, p_acks, v_refused);
    END IF;
    IF cardinality(p_streams) > 0 THEN
        seqs := hive.apply_appends(p_ns, version, at, p_event_places, p_streams, p_heads, p_bodies, p_body_raws,
                                   v_refused);
        v_done := v_done + (SELECT count(s) FROM unnest(seqs) s)::int;
    END IF;
    IF v_done > 0 THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, ids, seqs, slots, others)
        VALUES (p_ns, p_trip, 'commit', epoch, at, version, p_shape, p_ids, seqs, olds, v_others);
    END IF;
    others := v_others::text;
END $$;
