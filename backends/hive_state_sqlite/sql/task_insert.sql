-- An id that is taken is left as it is; whoever inserts counts.
INSERT INTO tasks (ns, id, version, queue, state, priority, ord, due_at, payload, raw, dedupe_key,
                   lane, parents, unmet, attempt, max_attempts, token, cancel_requested, result_raw, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 0, ?, ?)
ON CONFLICT (ns, id) DO NOTHING
