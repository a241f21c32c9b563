INSERT INTO gone (ns, kind, name, part, seq, version) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version
