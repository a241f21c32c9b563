-- One record and the control row, in one statement: a snapshot without a transaction around it.
SELECT c.epoch, c.clock, r.key, r.version, r.created_version, r.value, r.raw, r.index_fields,
       r.created_at, r.updated_at, r.expires_at
FROM control AS c
LEFT JOIN records AS r ON r.ns = c.ns AND r.collection = ?2 AND r.key = ?3 AND r.value IS NOT NULL
WHERE c.ns = ?1
