-- Those that still count the parent.
SELECT c.child FROM task_children AS c JOIN tasks AS t ON t.ns = c.ns AND t.id = c.child
WHERE c.ns = ?1 AND c.parent = ?2 AND t.unmet > 0
