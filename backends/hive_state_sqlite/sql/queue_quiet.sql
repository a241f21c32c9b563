-- Whether all that a claim has to do in a queue at the instant ?5 is to take the next task that requires nothing.
NOT EXISTS (SELECT 1 FROM queues WHERE ns = ?1 AND queue = ?2 AND paused)
AND NOT EXISTS (SELECT 1 FROM tasks
                WHERE ns = ?1 AND queue = ?2 AND state = 'leased' AND turn_lane = '' AND turn <= ?5)
AND NOT EXISTS (SELECT 1 FROM tasks
                WHERE ns = ?1 AND queue = ?2 AND state = 'scheduled' AND turn_lane = '' AND turn <= ?5)
AND NOT EXISTS (SELECT 1 FROM tasks WHERE ns = ?1 AND queue = ?2 AND state = 'ready' AND turn_lane > '')
