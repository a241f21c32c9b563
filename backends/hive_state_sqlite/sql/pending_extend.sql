UPDATE pending SET version = ?6, until = max(until, ?7)
WHERE ns = ?1 AND stream = ?2 AND grp = ?3 AND seq = ?4 AND token = ?5 AND token > 0
