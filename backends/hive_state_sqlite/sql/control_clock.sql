SELECT epoch, clock FROM control WHERE ns = ?1
