-- One row for each id of the JSON list ?2 that is there; the columns are those of rows.TASK_COLUMNS.
SELECT j.key AS place, t.id, t.version, t.queue, t.state, t.priority, t.ord, t.due_at, t.payload, t.raw,
       t.dedupe_key, t.lane, t.parents, t.unmet, t.attempt, t.max_attempts, t.token, t.lease_until, t.worker, t.cancel_requested,
       t.error, t.result, t.result_raw, t.created_at, t.updated_at, t.finished_at
FROM json_each(?2) AS j CROSS JOIN tasks AS t
WHERE t.ns = ?1 AND t.id = j.value
