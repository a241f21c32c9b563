INSERT INTO streams (
    ns, stream, version, first, last, dropped)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, stream) DO UPDATE SET
    version = excluded.version, first = excluded.first, last = excluded.last, dropped = excluded.dropped
WHERE excluded.version > streams.version
