INSERT INTO groups (
    ns, stream, grp, version, position, max_deliveries)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, stream, grp) DO UPDATE SET
    version = excluded.version, position = excluded.position, max_deliveries = excluded.max_deliveries
WHERE excluded.version > groups.version
