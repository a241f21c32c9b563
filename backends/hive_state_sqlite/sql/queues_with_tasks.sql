-- The queues that have a task in any state: from one to the next by index.
WITH RECURSIVE found (queue) AS (
    SELECT min(queue) FROM tasks WHERE ns = :ns
    UNION ALL
    SELECT (SELECT min(queue) FROM tasks WHERE ns = :ns AND queue > found.queue) FROM found WHERE queue IS NOT NULL)
SELECT queue FROM found WHERE queue IS NOT NULL
