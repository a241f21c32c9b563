-- The first lane above ?3 that has a ready task: called again and again, it walks the lanes by index.
SELECT turn_lane FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'ready' AND turn_lane > ?3 ORDER BY turn_lane LIMIT 1
