-- What does not hold of the checks and leases of flat batches: [place, refusal] of the first in each batch, NULL if all
-- hold. Items have the batch's place (z), the index (i) among its checks (k) or operations, and what is expected (e) of the
-- version of a record (c, y; w: of its created_version), or the token of a task (t) or of a delivery (s, g, q).
CREATE OR REPLACE FUNCTION hive.decide(p_ns int, p_at bigint, p_versions text, p_leases text, p_acks text)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT jsonb_agg(jsonb_build_array(first.z, first.refusal)) FROM (
            SELECT DISTINCT ON (f.z) f.z, f.refusal FROM (
                SELECT c.z, c.i, c.k, 0 AS nth, jsonb_build_object(
                           'f', 'version', 'r', jsonb_build_array('r', c.c, c.y), 'i', c.i, 'k', c.k,
                           'e', c.e, 'a', coalesce(r.actual, 0)) AS refusal
                FROM jsonb_to_recordset(p_versions::jsonb) c(z int, i int, k boolean, c text, y text, e bigint, w boolean)
                LEFT JOIN LATERAL (
                    SELECT CASE WHEN c.w THEN created_version ELSE version END AS actual FROM hive.records
                    WHERE ns = p_ns AND collection = c.c AND key = c.y
                      AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > p_at) OFFSET 0
                ) r ON true
                WHERE coalesce(r.actual, 0) <> c.e
                UNION ALL
                SELECT l.z, l.i, l.k, 0, jsonb_build_object(
                           'f', 'lease', 'r', jsonb_build_array('t', l.t), 'i', l.i, 'k', l.k,
                           'e', l.e, 'a', coalesce(t.token, 0))
                FROM jsonb_to_recordset(p_leases::jsonb) l(z int, i int, k boolean, t text, e bigint)
                LEFT JOIN LATERAL (SELECT token FROM hive.tasks WHERE ns = p_ns AND id = l.t OFFSET 0) t ON true
                WHERE l.e = 0 OR t.token IS DISTINCT FROM l.e
                UNION ALL
                SELECT a.z, a.i, false, a.n, jsonb_build_object(
                           'f', 'lease', 'r', jsonb_build_array('g', a.s, a.g), 'i', a.i, 'k', false,
                           'e', a.e, 'a', coalesce(p.token, 0), 'q', a.q)
                FROM ROWS FROM (jsonb_to_recordset(p_acks::jsonb) AS (z int, i int, s text, g text, q bigint, e bigint))
                    WITH ORDINALITY a(z, i, s, g, q, e, n)
                LEFT JOIN LATERAL (
                    SELECT token, dead FROM hive.pending
                    WHERE ns = p_ns AND stream = a.s AND grp = a.g AND seq = a.q OFFSET 0
                ) p ON true
                WHERE p.token IS DISTINCT FROM a.e OR p.token = 0 AND NOT p.dead
            ) f
            ORDER BY f.z, f.k DESC, f.i, f.nth
        ) first);
END $$;
