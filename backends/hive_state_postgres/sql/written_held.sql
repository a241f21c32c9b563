SELECT ctid AS tid, version, collections, keys FROM hive.written WHERE ns = $1 AND version <= $2 FOR UPDATE SKIP LOCKED
