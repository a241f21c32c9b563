SELECT * FROM hive.enter_port($1)
