-- ready -> leased. It names only what changes, so that the indexes of other columns are left alone.
UPDATE tasks
SET version = ?3, state = 'leased', attempt = ?4, token = ?3, lease_until = ?5, worker = ?6, updated_at = ?7
WHERE ns = ?1 AND id = ?2
