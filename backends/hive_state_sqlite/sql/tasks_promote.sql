-- Scheduled tasks whose instant has come become ready, in one queue.
UPDATE tasks SET state = 'ready', version = ?4, updated_at = ?3
WHERE rowid IN (
    SELECT rowid FROM tasks
    WHERE ns = ?1 AND queue = ?2 AND state = 'scheduled' AND turn_lane = '' AND turn <= ?3
    ORDER BY turn LIMIT ?5)
