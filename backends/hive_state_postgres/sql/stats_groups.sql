-- `lag`: every number between `first` and `last` is an event that is there.
SELECT g.stream, g.grp, g.position, s.last - greatest(g.position, s.first - 1) AS lag, c.pending, c.dead,
       (SELECT at FROM hive.events e
        WHERE e.ns = $1 AND e.stream = g.stream AND e.seq >= least(c.lowest, g.position + 1) ORDER BY seq LIMIT 1) AS oldest
FROM hive.groups g, hive.streams s, LATERAL (
    SELECT count(*) FILTER (WHERE NOT dead) AS pending, count(*) FILTER (WHERE dead) AS dead, min(seq) AS lowest
    FROM hive.pending WHERE ns = $1 AND stream = g.stream AND grp = g.grp OFFSET 0) c
WHERE g.ns = $1 AND s.ns = $1 AND s.stream = g.stream
