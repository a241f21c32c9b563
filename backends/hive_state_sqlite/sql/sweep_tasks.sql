DELETE FROM tasks
WHERE rowid IN (
    SELECT rowid FROM tasks WHERE ns = ?1 AND state = ?2 AND finished_at IS NOT NULL AND finished_at <= ?3 LIMIT ?4)
