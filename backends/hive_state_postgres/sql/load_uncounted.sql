-- Edges to children that do not count the parent any more. OFFSET, so that the children are looked up one by one.
DELETE FROM hive.task_children c
WHERE c.ns = $1 AND c.parent = $2
  AND NOT EXISTS (SELECT 1 FROM hive.tasks t WHERE t.ns = $1 AND t.id = c.child AND t.unmet > 0 OFFSET 0)
