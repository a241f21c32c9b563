SELECT id FROM tasks
WHERE ns = ?1 AND queue = ?2 AND dedupe_key = ?3 AND dedupe_key IS NOT NULL AND finished_at IS NULL
