SELECT version, collections, keys FROM hive.written WHERE ns = $1 AND version > $2 ORDER BY version
FETCH FIRST ($3) ROWS WITH TIES
