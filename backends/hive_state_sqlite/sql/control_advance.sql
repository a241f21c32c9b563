-- The counter and the instant of a trip. The clock never goes back.
UPDATE control SET counter = counter + 1, clock = max(clock, ?2) WHERE ns = ?1
RETURNING state, peer, term, epoch, counter, orders, clock
