-- The lowest seq that some group has not finished; NULL = there is no group.
SELECT min(low) FROM (
    SELECT position + 1 AS low FROM groups WHERE ns = :ns AND stream = :stream
    UNION ALL
    SELECT seq FROM pending WHERE ns = :ns AND stream = :stream)
