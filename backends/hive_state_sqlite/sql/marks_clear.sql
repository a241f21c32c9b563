-- Those of the JSON list ?3 of [kind, name, part, seq, version] that have still this version. One statement for all of
-- them: the interpreter lock is given away, and waited for, once for each.
DELETE FROM marks WHERE ns = ?1 AND sink = ?2 AND (kind, name, part, seq) IN (
    SELECT m.kind, m.name, m.part, m.seq FROM json_each(?3) AS j CROSS JOIN marks AS m
    WHERE m.ns = ?1 AND m.sink = ?2
      AND m.kind = json_extract(j.value, '$[0]') AND m.name = json_extract(j.value, '$[1]')
      AND m.part = json_extract(j.value, '$[2]') AND m.seq = json_extract(j.value, '$[3]')
      AND m.version = json_extract(j.value, '$[4]'))
