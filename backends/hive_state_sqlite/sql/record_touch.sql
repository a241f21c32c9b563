UPDATE records SET version = ?4, updated_at = ?5, expires_at = ?6 WHERE ns = ?1 AND collection = ?2 AND key = ?3
