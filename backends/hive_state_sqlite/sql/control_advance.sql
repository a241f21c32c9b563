-- What a trip takes for itself: its counter, its instant, and room for the orders that it may give out. No row: the
-- control row is not what the process took it for.
UPDATE control SET counter = ?2, orders = ?3, clock = ?4
WHERE ns = ?1 AND epoch = ?5 AND counter = ?2 - 1 AND orders = ?6 AND clock = ?7
