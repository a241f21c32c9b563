-- A commit trip of any batches. Those of `p_batches` are decided one after the other, in their order, each seeing what
-- the ones before it left; Puts and plain Enqueues of batches that do nothing else go set by set, as in commit_flat
-- (core lets nothing else in the trip touch what they name).
CREATE OR REPLACE FUNCTION hive.commit(
    p_ns int, p_trip text, p_shape text, p_alone boolean,
    p_put_places int[], p_collections text[], p_keys text[], p_expects bigint[], p_values bytea[], p_raws boolean[],
    p_fields text[], p_ttls bigint[],
    p_task_places int[], p_orders int[], p_ids text[], p_queues text[], p_payloads bytea[], p_payload_raws boolean[],
    p_priorities smallint[], p_delays bigint[], p_attempts int[], p_lanes text[], p_requires text[],
    p_batches text, p_batch_values bytea[], p_lock_collections text[], p_lock_keys text[], p_lock_ids text[],
    p_lock_completes text[], p_lock_dedupe_queues text[], p_lock_dedupe_keys text[], p_lock_redrives text[],
    p_lock_queues text[], p_lock_streams text[], p_lock_group_streams text[], p_lock_groups text[], p_lock_wholes text[],
    OUT epoch bigint, OUT at bigint, OUT version bigint, OUT others text, OUT olds int[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_control hive.control := hive.enter(p_ns, p_alone);
    v_counter bigint;
    v_part record;
    v_locked boolean;
    v_done int := 0;
    v_batch jsonb;
    v_outcome jsonb;
    v_detail text;
    v_found jsonb[] := '{}';
    v_others jsonb;
    v_queue text;
BEGIN
    FOR v_queue IN SELECT q FROM unnest(p_lock_queues) q ORDER BY q COLLATE "C" LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(v_queue, p_ns));
    END LOOP;
    v_locked := hive.lock(p_ns, p_lock_collections, p_lock_keys, p_lock_ids, p_lock_completes, p_lock_dedupe_queues,
                      p_lock_dedupe_keys, p_lock_redrives);
    IF cardinality(p_lock_streams) + cardinality(p_lock_groups) > 0 THEN
        v_locked := hive.lock_streams(p_ns, p_lock_streams, p_lock_group_streams, p_lock_groups, p_lock_wholes);
    END IF;
    epoch := v_control.epoch;
    at := hive.instant(p_ns, v_control.floor);
    v_counter := nextval('hive.counter');
    version := (v_control.term << 43) + v_counter;
    IF cardinality(p_put_places) > 0 THEN
        v_part := hive.apply_puts(p_ns, version, at, p_put_places, p_collections, p_keys, p_expects,
                                  p_values, p_raws, p_fields, p_ttls, '{}');
        v_done := v_part.done;
        v_others := v_part.others;
    END IF;
    IF cardinality(p_task_places) > 0 THEN
        v_part := hive.apply_enqueues(p_ns, version, at, v_control.order_floor + (v_counter << 10), p_task_places, p_orders, p_ids,
                                      p_queues, p_payloads, p_payload_raws, p_priorities, p_delays, p_attempts,
                                      p_lanes, p_requires, '{}');
        v_done := v_done + v_part.done;
        olds := v_part.olds;
    END IF;
    FOR v_batch IN SELECT x FROM jsonb_array_elements(p_batches::jsonb) x LOOP
        v_outcome := NULL;
        IF v_batch ? 'id' THEN
            SELECT CASE WHEN c.fingerprint = p_batch_values[(v_batch->>'fp')::int] THEN c.outcome
                   ELSE jsonb_build_object('f', 'commit_id', 'r', jsonb_build_array('m', c.id), 'i', 0, 'k', false,
                                           'e', 0, 'a', 0) END
            INTO v_outcome
            FROM hive.commits c WHERE c.ns = p_ns AND c.id = v_batch->>'id';
        END IF;
        IF v_outcome IS NULL THEN
            IF v_batch ? 's' THEN  -- a block with a handler is a savepoint: only where one is needed
                BEGIN
                    v_outcome := hive.apply_batch(p_ns, version, at, v_control.order_floor + (v_counter << 10), p_alone, v_batch,
                                                  p_batch_values);
                EXCEPTION WHEN SQLSTATE 'HS003' THEN
                    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
                    v_outcome := v_detail::jsonb;
                END;
            ELSE
                v_outcome := hive.apply_batch(p_ns, version, at, v_control.order_floor + (v_counter << 10), p_alone, v_batch,
                                              p_batch_values);
            END IF;
            IF v_outcome ? 'x' THEN
                v_done := v_done + (v_outcome->>'c')::boolean::int;
                v_outcome := jsonb_build_object(
                    'v', CASE WHEN (v_outcome->>'c')::boolean THEN version ELSE 0 END, 't', at, 'x', v_outcome->'x');
                IF v_batch ? 'id' THEN
                    v_done := v_done + 1;
                    INSERT INTO hive.commits (ns, id, version, fingerprint, outcome, at)
                    VALUES (p_ns, v_batch->>'id', version, p_batch_values[(v_batch->>'fp')::int], v_outcome, at)
                    ON CONFLICT DO NOTHING;
                    IF NOT FOUND THEN
                        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'the commit id was used meanwhile';
                    END IF;
                END IF;
            END IF;
        END IF;
        v_found := v_found || jsonb_build_array(v_batch->'z', v_outcome);
    END LOOP;
    v_others := coalesce(v_others, '[]') || to_jsonb(v_found);
    IF v_done > 0 THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape, ids, slots, others)
        VALUES (p_ns, p_trip, 'commit', epoch, at, version, p_shape, p_ids, olds, v_others);
    END IF;
    others := v_others::text;
END $$;
