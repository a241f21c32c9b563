-- They lose their dedupe places.
UPDATE hive.tasks SET dedupe_key = NULL WHERE ns = $1 AND id = ANY ($2) AND finished_at IS NULL
