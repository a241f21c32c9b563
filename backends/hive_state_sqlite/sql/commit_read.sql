SELECT fingerprint, outcome FROM commits WHERE ns = ?1 AND id = ?2
