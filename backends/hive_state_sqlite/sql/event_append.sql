INSERT INTO events (ns, stream, seq, version, body, raw, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
