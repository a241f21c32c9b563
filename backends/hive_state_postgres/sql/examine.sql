-- What `hive-state doctor` asks; $1 is the schema.
SELECT current_setting('server_version') AS version,
       current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int AS most,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connected,
       pg_is_in_recovery() AS standby,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
       inet_server_addr() IS NOT NULL AND host(inet_server_addr()) NOT LIKE '127.%'
           AND host(inet_server_addr()) <> '::1' AS remote,
       to_regnamespace($1) IS NOT NULL AS there,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       coalesce(has_schema_privilege(to_regnamespace($1), 'USAGE'), false) AS may_use
