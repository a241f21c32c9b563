INSERT INTO events (ns, stream, seq, version, body, raw, at) VALUES (?, ?, ?, ?, ?, ?, ?)
