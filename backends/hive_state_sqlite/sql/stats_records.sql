SELECT collection, count(*) FROM records WHERE ns = ?1 AND value IS NOT NULL GROUP BY collection
