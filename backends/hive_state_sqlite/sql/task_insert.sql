-- An id that is taken is left as it is; whoever inserts counts.
INSERT INTO tasks (ns, id, version, queue, state, priority, ord, due_at, payload, raw, dedupe_key,
                   lane, parents, unmet, attempt, max_attempts, token, cancel_requested, result_raw, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0, ?15, 0, 0, 0, ?16, ?17)
ON CONFLICT (ns, id) DO NOTHING
