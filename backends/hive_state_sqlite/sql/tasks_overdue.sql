-- Leases of one queue that are over, longest over first.
SELECT 0 AS place, id, version, queue, state, priority, ord, due_at, x'' AS payload, raw,
       dedupe_key, lane, parents, unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested,
       error, NULL AS result, 0 AS result_raw, created_at, updated_at, finished_at
FROM tasks
WHERE ns = ?1 AND queue = ?2 AND state = 'leased' AND turn_lane = '' AND turn <= ?3
ORDER BY turn
LIMIT ?4
