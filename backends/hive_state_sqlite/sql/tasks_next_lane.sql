-- The first lane above ?3 that has a ready task: called again and again, it walks the lanes by index.
SELECT lane FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'ready' AND lane > ?3 ORDER BY lane LIMIT 1
