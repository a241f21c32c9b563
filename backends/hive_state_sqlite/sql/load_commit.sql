INSERT INTO commits (
    ns, id, version, fingerprint, outcome, at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, id) DO UPDATE SET
    version = excluded.version, fingerprint = excluded.fingerprint, outcome = excluded.outcome, at = excluded.at
WHERE excluded.version > commits.version
