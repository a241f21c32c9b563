-- How many of the events :low <= seq < :first some group has not finished.
SELECT count(*) FROM (
    SELECT seq FROM pending WHERE ns = :ns AND stream = :stream AND seq >= :low AND seq < :first
    UNION
    SELECT seq FROM events
    WHERE ns = :ns AND stream = :stream AND seq >= :low AND seq < :first
      AND seq > (SELECT min(position) FROM groups WHERE ns = :ns AND stream = :stream))
