-- What a claim has to know of a queue: whether it is paused, when the next lease ends, when the next scheduled task
-- is due, and a lane of ready tasks beside that of tasks that require nothing.
SELECT (SELECT paused FROM queues WHERE ns = ?1 AND queue = ?2),
       (SELECT min(turn) FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'leased' AND turn_lane = ''),
       (SELECT min(turn) FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'scheduled' AND turn_lane = ''),
       (SELECT min(turn_lane) FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'ready' AND turn_lane > '')
