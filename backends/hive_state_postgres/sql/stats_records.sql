SELECT collection, count(*) FROM hive.records WHERE ns = $1 AND deleted_at IS NULL GROUP BY collection
