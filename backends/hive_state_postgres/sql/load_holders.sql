-- The live tasks in these dedupe places.
SELECT t.queue, t.dedupe_key, t.version, t.id FROM unnest($2::text[], $3::text[]) u(queue, key), LATERAL (
    SELECT * FROM hive.tasks
    WHERE ns = $1 AND queue = u.queue AND dedupe_key = u.key
      AND dedupe_key IS NOT NULL AND finished_at IS NULL OFFSET 0) t
