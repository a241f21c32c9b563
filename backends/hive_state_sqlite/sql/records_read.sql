-- One row for each key of the JSON list ?3 that is there and was not deleted; `place` is its position.
SELECT j.key AS place, r.key, r.version, r.created_version, r.value, r.raw, r.index_fields,
       r.created_at, r.updated_at, r.expires_at
FROM json_each(?3) AS j CROSS JOIN records AS r
WHERE r.ns = ?1 AND r.collection = ?2 AND r.key = j.value AND r.value IS NOT NULL
