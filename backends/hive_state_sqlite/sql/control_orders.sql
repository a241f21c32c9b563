UPDATE control SET orders = ?2 WHERE ns = ?1
