-- Unless its stream has trimmed it; nor, in an open store, to a stream that the store itself has written to (a version
-- of term 1 or higher): the next numbers are its own.
INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE NOT EXISTS (
    SELECT 1 FROM hive.streams s JOIN hive.control c ON c.ns = s.ns
    WHERE s.ns = $1 AND s.stream = $2 AND (s.first > $3 OR (c.state = 'open' AND s.version >> 43 > 0)))
ON CONFLICT DO NOTHING RETURNING 1
