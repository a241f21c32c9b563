SELECT hive.instant(ns, floor) AS at,
       (SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
        WHERE c.relnamespace = $2::regnamespace AND c.relkind = 'r') AS size
FROM hive.control WHERE ns = $1
