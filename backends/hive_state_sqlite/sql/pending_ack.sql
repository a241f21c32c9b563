-- Token 0 names a dead delivery only (?6 = 1).
DELETE FROM pending WHERE ns = ?1 AND stream = ?2 AND grp = ?3 AND seq = ?4 AND token = ?5 AND dead = ?6
