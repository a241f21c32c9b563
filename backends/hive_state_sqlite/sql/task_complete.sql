-- leased -> completed, of a task that has no children to release.
UPDATE tasks
SET version = ?4, state = 'completed', token = 0, lease_until = NULL, worker = NULL, result = ?5, result_raw = ?6,
    updated_at = ?7, finished_at = ?7
WHERE ns = ?1 AND id = ?2 AND token = ?3 AND state = 'leased'
  AND NOT EXISTS (SELECT 1 FROM task_children WHERE ns = ?1 AND parent = ?2)
