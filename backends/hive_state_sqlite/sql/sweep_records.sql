-- Expired records become tombstones.
UPDATE records
SET version = ?2, value = NULL, raw = 0, index_fields = NULL, updated_at = ?3, expires_at = NULL
WHERE rowid IN (
    SELECT rowid FROM records WHERE ns = ?1 AND expires_at IS NOT NULL AND expires_at <= ?3 LIMIT ?4)
