-- Unless its stream has trimmed it.
INSERT INTO events (ns, stream, seq, version, body, raw, at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
WHERE NOT EXISTS (SELECT 1 FROM streams WHERE ns = ?1 AND stream = ?2 AND first > ?3)
ON CONFLICT DO NOTHING
