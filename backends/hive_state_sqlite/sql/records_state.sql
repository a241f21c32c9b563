-- As records_read, without the values: what checks and operations are decided from.
SELECT j.key AS place, r.version, r.created_version, r.expires_at
FROM json_each(?3) AS j CROSS JOIN records AS r
WHERE r.ns = ?1 AND r.collection = ?2 AND r.key = j.value AND r.value IS NOT NULL
