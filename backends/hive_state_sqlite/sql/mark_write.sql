-- For every sink there is.
INSERT INTO marks (ns, sink, kind, name, part, seq, version)
SELECT ?1, sink, ?2, ?3, ?4, ?5, ?6 FROM sinks WHERE ns = ?1
ON CONFLICT DO UPDATE SET version = excluded.version
