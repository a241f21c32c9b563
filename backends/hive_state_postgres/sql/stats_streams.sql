SELECT stream, last - first + 1 FROM hive.streams WHERE ns = $1 AND NOT dropped
