-- Everything that a transition may change.
UPDATE tasks
SET version = ?3, state = ?4, due_at = ?5, attempt = ?6, token = ?7, lease_until = ?8, worker = ?9,
    cancel_requested = ?10, error = ?11, result = ?12, result_raw = ?13, updated_at = ?14, finished_at = ?15, unmet = ?16,
    priority = ?17
WHERE ns = ?1 AND id = ?2
