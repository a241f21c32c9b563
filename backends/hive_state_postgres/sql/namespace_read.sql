SELECT ns FROM hive.control WHERE namespace = $1
