-- The store goes on above what was loaded.
UPDATE hive.control
SET floor = greatest(floor, $2), order_floor = greatest(order_floor, $3), version = greatest(version, $4)
WHERE ns = $1 AND (floor < $2 OR order_floor < $3 OR version < $4)
