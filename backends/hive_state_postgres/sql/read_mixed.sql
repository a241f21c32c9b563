-- As read_records, for records ($2, $3), tasks ($4) and queues ($5), all from one snapshot; `kind` is r, t or q.
WITH now AS MATERIALIZED (
    SELECT epoch, hive.instant(ns, floor) AS at FROM hive.control WHERE ns = $1
)
SELECT now.epoch, now.at, found.*
FROM now LEFT JOIN LATERAL (
    SELECT 'r' AS kind, u.place, r.key AS id, r.version, r.created_version, r.value, r.raw, r.index_fields,
           r.created_at, r.updated_at, r.expires_at,
           NULL AS queue, NULL AS state, NULL::smallint AS priority, NULL::bigint AS ord, NULL::bigint AS due_at,
           NULL AS dedupe_key, NULL::text[] AS requires, NULL::text[] AS parents, NULL::int AS unmet,
           NULL::int AS attempt, NULL::int AS max_attempts, NULL::bigint AS token, NULL::bigint AS lease_until,
           NULL AS worker, NULL::boolean AS cancel_requested, NULL AS error, NULL::bytea AS result,
           NULL::boolean AS result_raw, NULL::bigint AS finished_at
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY u(collection, key, place), LATERAL (
        SELECT * FROM hive.records WHERE ns = $1 AND collection = u.collection AND key = u.key OFFSET 0) r
    WHERE r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > now.at)
    UNION ALL
    SELECT 't', u.place, t.id, t.version, NULL, t.payload, t.raw, NULL, t.created_at, t.updated_at, NULL,
           t.queue, t.state, t.priority, t.ord, t.due_at, t.dedupe_key, t.requires, t.parents, t.unmet, t.attempt,
           t.max_attempts, t.token, t.lease_until, t.worker, t.cancel_requested, t.error, t.result, t.result_raw,
           t.finished_at
    FROM unnest($4::text[]) WITH ORDINALITY u(id, place), LATERAL (
        SELECT * FROM hive.tasks WHERE ns = $1 AND id = u.id OFFSET 0) t
    UNION ALL
    SELECT 'q', u.place, q.queue, q.version, NULL, NULL, q.paused, NULL, NULL, NULL, NULL,
           NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL
    FROM unnest($5::text[]) WITH ORDINALITY u(queue, place), LATERAL (
        SELECT * FROM hive.queues WHERE ns = $1 AND queue = u.queue OFFSET 0) q
) found ON true
