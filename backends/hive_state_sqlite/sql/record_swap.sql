-- record_put, of a record that must be present in version ?10.
UPDATE records
SET version = ?4, value = ?5, raw = ?6, index_fields = ?7, updated_at = ?8, expires_at = ?9
WHERE ns = ?1 AND collection = ?2 AND key = ?3 AND version = ?10
  AND value IS NOT NULL AND (expires_at IS NULL OR expires_at > ?8)
