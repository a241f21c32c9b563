DELETE FROM records
WHERE rowid IN (SELECT rowid FROM records WHERE ns = ?1 AND value IS NULL AND updated_at <= ?2 LIMIT ?3)
