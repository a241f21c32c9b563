-- What a trip takes for itself: its counter, its instant, and room for the orders that it may give out.
UPDATE control SET counter = ?2, orders = ?3, clock = ?4 WHERE ns = ?1
