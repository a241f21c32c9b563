-- Over a present record created_at and created_version stay, over a tombstone or an expired one they start anew.
INSERT INTO records (ns, collection, key, version, created_version, value, raw, index_fields,
                     created_at, updated_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?8, ?9)
ON CONFLICT (ns, collection, key) DO UPDATE SET
    version = excluded.version,
    created_version = CASE WHEN value IS NULL OR expires_at <= excluded.updated_at
                           THEN excluded.created_version ELSE created_version END,
    created_at = CASE WHEN value IS NULL OR expires_at <= excluded.updated_at
                      THEN excluded.created_at ELSE created_at END,
    value = excluded.value,
    raw = excluded.raw,
    index_fields = excluded.index_fields,
    updated_at = excluded.updated_at,
    expires_at = excluded.expires_at
