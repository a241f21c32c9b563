-- record_put, of a record that must be absent: nothing is written over a present one.
INSERT INTO records (ns, collection, key, version, created_version, value, raw, index_fields,
                     created_at, updated_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?8, ?9)
ON CONFLICT (ns, collection, key) DO UPDATE SET
    version = excluded.version,
    created_version = excluded.created_version,
    created_at = excluded.created_at,
    value = excluded.value,
    raw = excluded.raw,
    index_fields = excluded.index_fields,
    updated_at = excluded.updated_at,
    expires_at = excluded.expires_at
WHERE value IS NULL OR expires_at <= excluded.updated_at
