-- The live tasks in these dedupe places.
SELECT t.queue, t.dedupe_key, t.version, t.id FROM unnest($2::text[], $3::text[]) u(queue, key)
JOIN hive.tasks t ON t.ns = $1 AND t.queue = u.queue AND t.dedupe_key = u.key
WHERE t.dedupe_key IS NOT NULL AND t.finished_at IS NULL
