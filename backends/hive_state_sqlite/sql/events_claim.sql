-- What a group may be handed now: deliveries that are due again, in seq order, then events beyond its position.
SELECT * FROM (
    SELECT e.seq, e.version, e.body, e.raw, e.at, p.deliveries
    FROM pending AS p CROSS JOIN events AS e
    WHERE p.ns = :ns AND p.stream = :stream AND p.grp = :grp AND p.dead = 0 AND p.until <= :at
      AND p.deliveries < :max AND e.ns = p.ns AND e.stream = p.stream AND e.seq = p.seq
    ORDER BY p.seq LIMIT :limit)
UNION ALL
SELECT * FROM (
    SELECT seq, version, body, raw, at, 0 FROM events
    WHERE ns = :ns AND stream = :stream AND seq > :position
    ORDER BY seq LIMIT :limit)
LIMIT :limit
