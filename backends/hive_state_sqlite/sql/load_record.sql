INSERT INTO records (
    ns, collection, key, version, created_version, value, raw, index_fields, created_at, updated_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, collection, key) DO UPDATE SET
    version = excluded.version, created_version = excluded.created_version, value = excluded.value, raw =
    excluded.raw, index_fields = excluded.index_fields, created_at = excluded.created_at, updated_at =
    excluded.updated_at, expires_at = excluded.expires_at
WHERE excluded.version > records.version
