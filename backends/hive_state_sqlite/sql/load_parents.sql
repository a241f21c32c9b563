SELECT t.id, t.version, t.parents
FROM json_each(?2) AS j CROSS JOIN tasks AS t WHERE t.ns = ?1 AND t.id = j.value AND t.parents IS NOT NULL
