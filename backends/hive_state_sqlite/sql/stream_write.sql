INSERT INTO streams (ns, stream, version, first, last, dropped) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (ns, stream) DO UPDATE SET
    version = excluded.version, first = excluded.first, last = excluded.last, dropped = excluded.dropped
