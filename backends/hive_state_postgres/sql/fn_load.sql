-- An import: images of term 0 into an open store, each if it is newer than what is there. How many were written.
-- Names come sorted (records, tasks, streams: the order of locks) and once each; `p_requires` are JSON lists, as arrays of
-- arrays would have to be of one length. No event is added to a stream that a trip of the store has written to, whose
-- version is of term 1 or higher: the next numbers are its own.
CREATE OR REPLACE FUNCTION hive.load(
    p_ns int,
    p_collections text[], p_keys text[], p_versions bigint[], p_created_versions bigint[], p_values bytea[],
    p_raws boolean[], p_fields text[], p_created bigint[], p_updated bigint[], p_expires bigint[],
    p_ids text[], p_task_versions bigint[], p_queues text[], p_states text[], p_priorities smallint[], p_orders bigint[],
    p_due bigint[], p_payloads bytea[], p_payload_raws boolean[], p_lanes text[], p_requires text[],
    p_attempts int[], p_max_attempts int[], p_tokens bigint[], p_leases bigint[], p_workers text[], p_cancels boolean[],
    p_errors text[], p_results bytea[], p_result_raws boolean[], p_task_created bigint[], p_task_updated bigint[],
    p_finished bigint[],
    p_streams text[], p_seqs bigint[], p_event_versions bigint[], p_bodies bytea[], p_body_raws boolean[], p_ats bigint[],
    p_heads text[], p_head_versions bigint[], p_firsts bigint[], p_lasts bigint[], p_dropped boolean[],
    OUT written bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM hive.enter(p_ns, false);
    INSERT INTO hive.records AS r (ns, collection, key, version, created_version, value, raw, index_fields, created_at,
                                   updated_at, expires_at, deleted_at)
    SELECT p_ns, u.*, CASE WHEN u.value IS NULL THEN u.updated_at END
    FROM unnest(p_collections, p_keys, p_versions, p_created_versions, p_values, p_raws, p_fields, p_created, p_updated,
                p_expires)
        u(collection, key, version, created_version, value, raw, index_fields, created_at, updated_at, expires_at)
    ON CONFLICT (ns, collection, key) DO UPDATE SET
        version = excluded.version, created_version = excluded.created_version, value = excluded.value,
        raw = excluded.raw, index_fields = excluded.index_fields, created_at = excluded.created_at,
        updated_at = excluded.updated_at, expires_at = excluded.expires_at, deleted_at = excluded.deleted_at
    WHERE r.version < excluded.version;
    GET DIAGNOSTICS written = ROW_COUNT;
    INSERT INTO hive.tasks AS t (ns, id, version, queue, state, priority, ord, due_at, payload, raw, lane, requires, parents,
                                 unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested, error, result,
                                 result_raw, created_at, updated_at, finished_at)
    SELECT p_ns, u.id, u.version, u.queue, u.state, u.priority, u.ord, u.due_at, u.payload, u.raw, u.lane,
           CASE WHEN u.requires = '' THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(u.requires::jsonb)) END,
           '{}', 0, u.attempt, u.max_attempts, u.token, u.lease_until, u.worker, u.cancel_requested, u.error, u.result,
           u.result_raw, u.created_at, u.updated_at, u.finished_at
    FROM unnest(p_ids, p_task_versions, p_queues, p_states, p_priorities, p_orders, p_due, p_payloads, p_payload_raws,
                p_lanes, p_requires, p_attempts, p_max_attempts, p_tokens, p_leases, p_workers, p_cancels, p_errors,
                p_results, p_result_raws, p_task_created, p_task_updated, p_finished)
        u(id, version, queue, state, priority, ord, due_at, payload, raw, lane, requires, attempt, max_attempts, token,
          lease_until, worker, cancel_requested, error, result, result_raw, created_at, updated_at, finished_at)
    ON CONFLICT (ns, id) DO UPDATE SET
        version = excluded.version, queue = excluded.queue, state = excluded.state, priority = excluded.priority,
        ord = excluded.ord, due_at = excluded.due_at, payload = excluded.payload, raw = excluded.raw,
        lane = excluded.lane, requires = excluded.requires, attempt = excluded.attempt,
        max_attempts = excluded.max_attempts, token = excluded.token, lease_until = excluded.lease_until,
        worker = excluded.worker, cancel_requested = excluded.cancel_requested, error = excluded.error,
        result = excluded.result, result_raw = excluded.result_raw, created_at = excluded.created_at,
        updated_at = excluded.updated_at, finished_at = excluded.finished_at
    WHERE t.version < excluded.version;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    written := written + v_rows;
    PERFORM hive.lock_streams(p_ns, p_streams || p_heads, '{}', '{}', '{}');
    INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
    SELECT p_ns, u.* FROM unnest(p_streams, p_seqs, p_event_versions, p_bodies, p_body_raws, p_ats)
        u(stream, seq, version, body, raw, at)
    WHERE NOT EXISTS (SELECT 1 FROM hive.streams s WHERE s.ns = p_ns AND s.stream = u.stream
                      AND (s.first > u.seq OR s.version >> 43 > 0))
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    written := written + v_rows;
    INSERT INTO hive.streams AS s (ns, stream, version, first, last, dropped)
    SELECT p_ns, u.* FROM unnest(p_heads, p_head_versions, p_firsts, p_lasts, p_dropped) u(stream, version, first, last, dropped)
    ON CONFLICT (ns, stream) DO UPDATE SET
        version = excluded.version, first = excluded.first, last = excluded.last, dropped = excluded.dropped
    WHERE s.version < excluded.version;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    written := written + v_rows;
END $$;
