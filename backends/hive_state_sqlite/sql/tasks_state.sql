-- As tasks_read, without payload and result, which no transition looks at; and whether there are children.
SELECT j.key AS place, t.id, t.version, t.queue, t.state, t.priority, t.ord, t.due_at, x'' AS payload, t.raw,
       t.dedupe_key, t.lane, t.parents, t.unmet, t.attempt, t.max_attempts, t.token, t.lease_until, t.worker, t.cancel_requested,
       t.error, NULL AS result, 0 AS result_raw, t.created_at, t.updated_at, t.finished_at,
       EXISTS (SELECT 1 FROM task_children AS c WHERE c.ns = t.ns AND c.parent = t.id) AS is_parent
FROM json_each(?2) AS j CROSS JOIN tasks AS t
WHERE t.ns = ?1 AND t.id = j.value
