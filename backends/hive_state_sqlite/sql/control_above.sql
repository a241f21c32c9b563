-- The store goes on above what was loaded.
UPDATE control SET clock = max(clock, ?2), orders = max(orders, ?3), version = max(version, ?4) WHERE ns = ?1
