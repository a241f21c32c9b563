SELECT g.stream, g.grp, g.position,
       (SELECT count(*) FROM events AS e WHERE e.ns = g.ns AND e.stream = g.stream AND e.seq > g.position),
       (SELECT count(*) FROM pending AS p WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND dead = 0),
       (SELECT count(*) FROM pending AS p WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND dead = 1),
       (SELECT at FROM events AS e
        WHERE e.ns = g.ns AND e.stream = g.stream AND e.seq >= min(g.position + 1, coalesce(
            (SELECT min(seq) FROM pending AS p
             WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp), g.position + 1))
        ORDER BY e.seq LIMIT 1)
FROM groups AS g WHERE g.ns = ?1
