UPDATE groups SET version = ?4 WHERE ns = ?1 AND stream = ?2 AND grp = ?3
