INSERT INTO tasks (
    ns, id, version, queue, state, priority, ord, due_at, payload, raw, dedupe_key, lane, parents, unmet, attempt,
    max_attempts, token, lease_until, worker, cancel_requested, error, result, result_raw, created_at, updated_at,
    finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, id) DO UPDATE SET
    version = excluded.version, queue = excluded.queue, state = excluded.state, priority = excluded.priority, ord =
    excluded.ord, due_at = excluded.due_at, payload = excluded.payload, raw = excluded.raw, dedupe_key =
    excluded.dedupe_key, lane = excluded.lane, parents = excluded.parents, unmet = excluded.unmet, attempt =
    excluded.attempt, max_attempts = excluded.max_attempts, token = excluded.token, lease_until =
    excluded.lease_until, worker = excluded.worker, cancel_requested = excluded.cancel_requested, error =
    excluded.error, result = excluded.result, result_raw = excluded.result_raw, created_at = excluded.created_at,
    updated_at = excluded.updated_at, finished_at = excluded.finished_at
WHERE excluded.version > tasks.version
