UPDATE control SET counter = ?2, orders = ?3, clock = ?4 WHERE ns = ?1
