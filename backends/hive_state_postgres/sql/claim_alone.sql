SELECT (c.task).*, c.epoch, c.at FROM hive.claim_alone($1, $2, $3, $4, $5, $6) c
