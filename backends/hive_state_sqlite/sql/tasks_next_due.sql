SELECT min(due) FROM (
    SELECT min(due_at) AS due FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'scheduled'
    UNION ALL
    SELECT min(lease_until) FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'leased')
