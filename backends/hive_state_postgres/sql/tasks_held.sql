SELECT t.id, t.version, t.queue, t.state, t.priority, t.ord, t.due_at, t.payload, t.raw, t.dedupe_key, t.requires,
       t.parents, t.unmet, t.attempt, t.max_attempts, t.token, t.lease_until, t.worker, t.cancel_requested,
       t.error, t.result, t.result_raw, t.created_at, t.updated_at, t.finished_at
FROM unnest($2::text[], $3::bigint[]) u(id, token), LATERAL (
    SELECT * FROM hive.tasks WHERE ns = $1 AND id = u.id AND token = u.token AND u.token > 0 OFFSET 0) t
