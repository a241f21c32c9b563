-- None while a copy of what was deleted may still be on its way to a peer, or a sink has yet to be told.
DELETE FROM records
WHERE rowid IN (
    SELECT rowid FROM records AS r
    WHERE ns = ?1 AND value IS NULL AND updated_at <= ?2
      AND NOT EXISTS (SELECT 1 FROM sinks WHERE ns = ?1 AND sink = 'peer')
      AND NOT EXISTS (
          SELECT 1 FROM sinks AS s JOIN marks AS m ON m.ns = s.ns AND m.sink = s.sink
          WHERE s.ns = ?1 AND m.kind = 'record' AND m.name = r.collection AND m.part = r.key AND m.seq = 0)
    LIMIT ?3)
