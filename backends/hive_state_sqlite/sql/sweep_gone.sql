DELETE FROM gone
WHERE (ns, kind, name, part, seq) IN (
    SELECT ns, kind, name, part, seq FROM gone AS g
    WHERE ns = ?1 AND NOT EXISTS (SELECT 1 FROM sinks WHERE ns = ?1 AND sink = 'peer')
      AND NOT EXISTS (
          SELECT 1 FROM sinks AS s JOIN marks AS m ON m.ns = s.ns AND m.sink = s.sink
          WHERE s.ns = ?1 AND m.kind = g.kind AND m.name = g.name AND m.part = g.part AND m.seq = g.seq)
    LIMIT ?2)
