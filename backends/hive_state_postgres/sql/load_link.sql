-- And again, as the tasks are now.
INSERT INTO hive.task_children SELECT t.ns, p, t.id FROM hive.tasks t, unnest(t.parents) p
WHERE t.ns = $1 AND t.id = ANY ($2) ON CONFLICT DO NOTHING
