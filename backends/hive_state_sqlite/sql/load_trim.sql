DELETE FROM events
WHERE ns = ?1 AND stream = ?2 AND seq < (SELECT first FROM streams WHERE ns = ?1 AND stream = ?2)
