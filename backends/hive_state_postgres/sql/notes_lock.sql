-- Notes are written one at a time.
SELECT 1 FROM hive.control WHERE ns = $1 FOR NO KEY UPDATE
