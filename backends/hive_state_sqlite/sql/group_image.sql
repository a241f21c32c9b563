-- A group and the counts of its pending and dead deliveries.
SELECT g.grp, g.version, g.position, g.max_deliveries,
       (SELECT count(*) FROM pending AS p WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND dead = 0),
       (SELECT count(*) FROM pending AS p WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND dead = 1)
FROM groups AS g WHERE g.ns = ?1 AND g.stream = ?2 AND g.grp = ?3
