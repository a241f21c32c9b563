WITH untold AS (DELETE FROM hive.written WHERE ns = $1 AND 'cache' = ANY ($2))
DELETE FROM hive.marks WHERE ns = $1 AND sink = ANY ($2)
