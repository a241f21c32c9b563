INSERT INTO commits (ns, id, version, fingerprint, outcome, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
