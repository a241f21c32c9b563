SELECT queue, paused FROM hive.queues WHERE ns = $1
