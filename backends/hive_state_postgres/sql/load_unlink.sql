-- Edges from the parents of these tasks. Each is looked up by its key, also by a plan that was made while there were none.
DELETE FROM hive.task_children c USING hive.tasks t, unnest(t.parents) p, LATERAL (
    SELECT e.ctid AS tid FROM hive.task_children e WHERE e.ns = $1 AND e.parent = p AND e.child = t.id OFFSET 0) held
WHERE t.ns = $1 AND t.id = ANY ($2) AND t.parents <> '{}' AND c.ctid = held.tid
