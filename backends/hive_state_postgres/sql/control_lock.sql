-- Alone among the writers of the namespace, until the end of the transaction.
SELECT pg_advisory_xact_lock('hive.control'::regclass::oid::int, $1)
