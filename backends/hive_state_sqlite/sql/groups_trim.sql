-- The groups of which events below ?3 are forgotten: their counts change.
UPDATE groups SET version = ?4
WHERE ns = ?1 AND stream = ?2
  AND EXISTS (SELECT 1 FROM pending AS p
              WHERE p.ns = ?1 AND p.stream = ?2 AND p.grp = groups.grp AND p.seq < ?3)
