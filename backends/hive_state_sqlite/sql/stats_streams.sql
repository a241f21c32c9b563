SELECT stream, last - first + 1 FROM streams WHERE ns = ?1 AND dropped = 0
