-- Edges from the parents of these tasks.
DELETE FROM hive.task_children c USING hive.tasks t, unnest(t.parents) p
WHERE t.ns = $1 AND t.id = ANY ($2) AND t.parents <> '{}' AND c.ns = $1 AND c.parent = p AND c.child = t.id
