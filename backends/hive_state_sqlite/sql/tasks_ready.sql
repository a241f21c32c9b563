-- The next tasks of one lane to hand out, in claim order.
SELECT 0 AS place, id, version, queue, state, priority, ord, due_at, payload, raw,
       dedupe_key, lane, parents, unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested,
       error, result, result_raw, created_at, updated_at, finished_at
FROM tasks
WHERE ns = ?1 AND queue = ?2 AND state = 'ready' AND turn_lane = ?3
ORDER BY turn, due_at, ord
LIMIT ?4
