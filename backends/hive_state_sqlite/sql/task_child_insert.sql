INSERT INTO task_children (ns, parent, child) VALUES (?, ?, ?)
