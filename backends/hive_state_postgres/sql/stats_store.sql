SELECT hive.instant(ns, floor) AS at,
       (SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
        WHERE c.relnamespace = $2::regnamespace AND c.relkind = 'r') AS size,
       current_setting('server_version') AS version,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('max_connections')::int AS max_connections
FROM hive.control WHERE ns = $1
