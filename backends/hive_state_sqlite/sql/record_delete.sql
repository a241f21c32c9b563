UPDATE records
SET version = ?4, value = NULL, raw = 0, index_fields = NULL, updated_at = ?5, expires_at = NULL
WHERE ns = ?1 AND collection = ?2 AND key = ?3
