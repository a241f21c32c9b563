-- As pending_nack, for a delivery that does not count; ?9: it is dead now all the same.
UPDATE pending
SET version = ?7, token = 0, error = ?11, deliveries = deliveries - 1, dead = ?9,
    until = CASE WHEN ?9 THEN until ELSE ?8 END
WHERE ns = ?1 AND stream = ?2 AND grp = ?3 AND seq = ?4 AND token = ?5 AND dead = ?6
