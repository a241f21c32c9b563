DELETE FROM pending WHERE ns = ?1 AND stream = ?2 AND seq < ?3
