-- As read_records, for records ($2, $3), tasks ($4), queues ($5), streams ($6) and groups ($7, $8), all from one snapshot. `kind` is r, t, q,
-- s (with `first` as ord, `last` as due_at) or g (`position` as ord, pending as due_at, dead as unmet).
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
    UNION ALL
    SELECT 's', u.place, s.stream, s.version, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL, NULL, NULL, s.first, s.last, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL, NULL
    FROM unnest($6::text[]) WITH ORDINALITY u(stream, place), LATERAL (
        SELECT * FROM hive.streams WHERE ns = $1 AND stream = u.stream AND NOT dropped OFFSET 0) s
    UNION ALL
    SELECT 'g', u.place, g.grp, g.version, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL, NULL, NULL, g.position, c.pending, NULL, NULL, NULL, c.dead::int, NULL, g.max_deliveries, NULL, NULL, NULL,
           NULL, NULL, NULL, NULL, NULL
    FROM unnest($7::text[], $8::text[]) WITH ORDINALITY u(stream, grp, place), LATERAL (
        SELECT * FROM hive.groups WHERE ns = $1 AND stream = u.stream AND grp = u.grp OFFSET 0) g, LATERAL (
        SELECT count(*) FILTER (WHERE NOT dead) AS pending, count(*) FILTER (WHERE dead) AS dead
        FROM hive.pending WHERE ns = $1 AND stream = g.stream AND grp = g.grp OFFSET 0) c
) found ON true
