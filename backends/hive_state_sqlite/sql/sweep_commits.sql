DELETE FROM commits WHERE (ns, id) IN (SELECT ns, id FROM commits WHERE ns = ?1 AND at <= ?2 LIMIT ?3)
