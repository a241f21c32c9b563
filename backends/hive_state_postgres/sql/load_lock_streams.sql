-- The heads of these streams: nobody appends to them meanwhile.
SELECT hive.lock_streams($1, $2, '{}', '{}', '{}')
