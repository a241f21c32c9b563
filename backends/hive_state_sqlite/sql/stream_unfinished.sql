-- How many of the events :low <= seq < :first some group has not finished: what all groups were handed is pending or
-- not, and all behind is open. Numbers have no gaps, so it counts too what this trip has still to write.
SELECT max(0, :first - max(:low, g.open)) + (
    SELECT count(DISTINCT seq) FROM pending
    WHERE ns = :ns AND stream = :stream AND seq >= :low AND seq < min(:first, g.open))
FROM (
    SELECT coalesce(min(position) + 1, :first) AS open FROM groups WHERE ns = :ns AND stream = :stream) AS g
