SELECT c.*, s.last_value FROM hive.control c, hive.counter s WHERE c.ns = $1
