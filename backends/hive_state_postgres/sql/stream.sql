-- For each read of a stream ($2, from $3, at most $4, downwards if $5): a row for each event, or one without. Of all
-- events only the first of its read, and what begins within $6 bytes.
WITH now AS MATERIALIZED (
    SELECT epoch, hive.instant(ns, floor) AS at FROM hive.control WHERE ns = $1
), found AS (
    SELECT u.place, coalesce(s.first, 1) AS first, coalesce(s.last, 0) AS last, e.seq, e.version, e.body, e.raw, e.at, e.nth,
           sum(octet_length(e.body)::bigint) OVER (ORDER BY u.place, e.nth ROWS UNBOUNDED PRECEDING)
               - octet_length(e.body) AS before
    FROM unnest($2::text[], $3::bigint[], $4::int[], $5::boolean[]) WITH ORDINALITY u(stream, start, most, back, place)
    LEFT JOIN hive.streams s ON s.ns = $1 AND s.stream = u.stream
    LEFT JOIN LATERAL (
        (SELECT *, row_number() OVER (ORDER BY seq) AS nth FROM hive.events
         WHERE ns = $1 AND stream = u.stream AND seq >= u.start AND NOT u.back ORDER BY seq LIMIT u.most)
        UNION ALL
        (SELECT *, row_number() OVER (ORDER BY seq DESC) AS nth FROM hive.events
         WHERE ns = $1 AND stream = u.stream AND seq <= u.start AND u.back ORDER BY seq DESC LIMIT u.most)
    ) e ON true
)
SELECT now.epoch, now.at AS now, f.*
FROM now LEFT JOIN (
    SELECT * FROM found WHERE nth IS NULL OR nth = 1 OR before <= $6
) f ON true
ORDER BY f.place, f.nth
