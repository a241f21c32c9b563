-- One row for each record that is present, `place` counting from 1; one row without a place if there is none.
WITH now AS MATERIALIZED (
    SELECT epoch, hive.instant(ns, floor) AS at FROM hive.control WHERE ns = $1
)
SELECT now.epoch, now.at, r.*
FROM now LEFT JOIN LATERAL (
    SELECT u.place, r.*
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY u(collection, key, place), LATERAL (
        SELECT version, created_version, value, raw, index_fields, created_at, updated_at, expires_at
        FROM hive.records
        WHERE ns = $1 AND collection = u.collection AND key = u.key
          AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > now.at) OFFSET 0
    ) r
) r ON true
