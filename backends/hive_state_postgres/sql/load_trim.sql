-- What the streams have lost.
DELETE FROM hive.events e USING hive.streams s
WHERE s.ns = $1 AND s.stream = ANY ($2) AND e.ns = $1 AND e.stream = s.stream AND e.seq < s.first
