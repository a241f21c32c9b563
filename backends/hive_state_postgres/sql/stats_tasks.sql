-- Counts by queue and state, and the lowest due instant among ready tasks and scheduled ones that are overdue ($2).
SELECT queue, state, count(*),
       min(due_at) FILTER (WHERE state = 'ready' OR state = 'scheduled' AND due_at <= $2)
FROM hive.tasks WHERE ns = $1 GROUP BY queue, state
