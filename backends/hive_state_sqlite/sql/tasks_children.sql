SELECT child FROM task_children WHERE ns = ?1 AND parent = ?2
