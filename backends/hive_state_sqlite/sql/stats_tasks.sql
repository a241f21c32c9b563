SELECT queue, state, count(*) FROM tasks WHERE ns = ?1 GROUP BY queue, state
