DELETE FROM hive.written WHERE ns = $1 AND version = ANY ($2::bigint[])
