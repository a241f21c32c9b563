DELETE FROM hive.written WHERE ctid = ANY ($1::tid[])
