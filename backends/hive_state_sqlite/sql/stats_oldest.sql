-- The lowest due instant among ready tasks, and scheduled ones that are overdue; and how many leases are over.
SELECT min(due), (
    SELECT count(*) FROM tasks WHERE ns = :ns AND queue = :queue AND state = 'leased' AND turn_lane = '' AND turn <= :at)
FROM (
    SELECT min(due_at) AS due FROM tasks WHERE ns = :ns AND queue = :queue AND state = 'ready'
    UNION ALL
    SELECT min(turn) FROM tasks WHERE ns = :ns AND queue = :queue AND state = 'scheduled' AND turn_lane = '' AND turn <= :at)
