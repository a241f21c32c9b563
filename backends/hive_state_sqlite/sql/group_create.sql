INSERT INTO groups (ns, stream, grp, version, position, max_deliveries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO NOTHING
