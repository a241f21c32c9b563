-- Deliveries up to ?9 whose time is over and that were the last become dead.
UPDATE pending SET dead = 1, version = ?6, error = CASE WHEN token > 0 THEN ?8 ELSE error END, token = 0
WHERE (ns, stream, grp, seq) IN (
    SELECT ns, stream, grp, seq FROM pending
    WHERE ns = ?1 AND stream = ?2 AND grp = ?3 AND dead = 0 AND until <= ?4 AND deliveries >= ?5 AND seq <= ?9 LIMIT ?7)
