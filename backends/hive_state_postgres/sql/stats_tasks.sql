-- Counts by queue and state; at instant $2 the lowest due instant among ready tasks and scheduled ones that are
-- overdue, and how many leases are over.
SELECT queue, state, count(*),
       min(due_at) FILTER (WHERE state = 'ready' OR state = 'scheduled' AND due_at <= $2),
       count(*) FILTER (WHERE state = 'leased' AND lease_until <= $2)
FROM hive.tasks WHERE ns = $1 GROUP BY queue, state
