-- record_overwrite, of a record in version ?10.
UPDATE records SET version = ?4, value = ?5, raw = ?6, updated_at = ?8
WHERE ns = ?1 AND collection = ?2 AND key = ?3 AND version = ?10
  AND value IS NOT NULL AND index_fields IS ?7 AND expires_at IS ?9
