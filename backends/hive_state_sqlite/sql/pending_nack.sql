-- ?6: it was dead and begins anew; ?9: it is dead now in any case; ?10: the most deliveries there may be. What is dead
-- keeps the instant that it had.
UPDATE pending
SET version = ?7, token = 0, error = ?11,
    deliveries = CASE WHEN ?6 THEN 0 ELSE deliveries END,
    dead = CASE WHEN ?9 THEN 1 WHEN ?6 THEN 0 ELSE deliveries >= ?10 END,
    until = CASE WHEN ?9 OR NOT ?6 AND deliveries >= ?10 THEN until ELSE ?8 END
WHERE ns = ?1 AND stream = ?2 AND grp = ?3 AND seq = ?4 AND token = ?5 AND dead = ?6
