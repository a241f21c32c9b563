SELECT state, peer, term, epoch, counter, orders, clock FROM control WHERE ns = ?1
