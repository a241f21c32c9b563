SELECT EXISTS (SELECT 1 FROM hive.streams WHERE ns = $1 AND stream = ANY ($2))
