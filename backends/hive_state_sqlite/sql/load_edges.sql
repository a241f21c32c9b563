INSERT INTO task_children (ns, parent, child)
SELECT t.ns, p.value, t.id FROM tasks AS t, json_each(t.parents) AS p WHERE t.ns = ?1 AND t.id = ?2
ON CONFLICT DO NOTHING
