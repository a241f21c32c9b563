-- Puts of flat batches that are not refused already, by collection and key, each with at most the check that its record has
-- version `expect` (-1: none). `done`: how many were written; `others`: [place, refusal] of those that were not.
-- -2 - version: that check was made before; if it does not hold any more, a record that was absent is there now.
CREATE OR REPLACE FUNCTION hive.apply_puts(
    p_ns int, p_version bigint, p_at bigint, p_places int[], p_collections text[], p_keys text[], p_expects bigint[],
    p_values bytea[], p_raws boolean[], p_fields text[], p_ttls bigint[], p_refused int[],
    OUT done int, OUT others jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_all int := cardinality(p_places);
    v_gone int := 0;
    v_rows int;
BEGIN
    IF cardinality(p_refused) > 0 THEN
        SELECT count(*) INTO v_gone FROM unnest(p_places) place WHERE place = ANY (p_refused);
        v_all := v_all - v_gone;
    END IF;
    UPDATE hive.records r
    SET version = p_version, value = u.value, raw = u.raw, index_fields = u.fields, updated_at = p_at,
        deleted_at = NULL,
        created_version =
            CASE WHEN r.deleted_at IS NOT NULL OR r.expires_at <= p_at THEN p_version ELSE r.created_version END,
        created_at = CASE WHEN r.deleted_at IS NOT NULL OR r.expires_at <= p_at THEN p_at ELSE r.created_at END,
        expires_at = CASE WHEN u.ttl <> -1 THEN p_at + u.ttl
                          WHEN u.ttl = -1 AND r.deleted_at IS NULL AND r.expires_at > p_at THEN r.expires_at END
    FROM (
        SELECT u.*, x.tid
        FROM unnest(p_places, p_collections, p_keys, p_expects, p_values, p_raws, p_fields, p_ttls)
            u(place, collection, key, expect, value, raw, fields, ttl),
        LATERAL (SELECT ctid AS tid FROM hive.records x
                 WHERE x.ns = p_ns AND x.collection = u.collection AND x.key = u.key OFFSET 0) x
        WHERE v_gone = 0 OR u.place <> ALL (p_refused) OFFSET 0
    ) u
    WHERE r.ctid = u.tid AND r.version < p_version
      AND (u.expect = -1 OR greatest(u.expect, -2 - u.expect) =
           CASE WHEN r.deleted_at IS NOT NULL OR r.expires_at <= p_at THEN 0 ELSE r.version END);
    GET DIAGNOSTICS done = ROW_COUNT;
    IF done = v_all THEN
        RETURN;
    END IF;
    INSERT INTO hive.records (ns, collection, key, version, created_version, value, raw, index_fields,
                              created_at, updated_at, expires_at)
    SELECT p_ns, u.collection, u.key, p_version, p_version, u.value, u.raw, u.fields, p_at, p_at,
           CASE WHEN u.ttl <> -1 THEN p_at + u.ttl END
    FROM unnest(p_places, p_collections, p_keys, p_expects, p_values, p_raws, p_fields, p_ttls)
        u(place, collection, key, expect, value, raw, fields, ttl)
    WHERE u.expect IN (-2, -1, 0) AND u.place <> ALL (p_refused)
      AND NOT EXISTS (SELECT 1 FROM hive.records r
                      WHERE r.ns = p_ns AND r.collection = u.collection AND r.key = u.key OFFSET 0)
    ORDER BY u.collection COLLATE "C", u.key COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    done := done + v_rows;
    IF done = v_all THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(jsonb_build_array(u.place, jsonb_build_object(
               'f', 'version', 'r', jsonb_build_array('r', u.collection, u.key), 'i', 0, 'k', true,
               'e', u.expect, 'a', coalesce(r.version, 0))))
    INTO others
    FROM unnest(p_places, p_collections, p_keys, p_expects) u(place, collection, key, expect)
    LEFT JOIN LATERAL (
        SELECT x.version FROM hive.records x
        WHERE x.ns = p_ns AND x.collection = u.collection AND x.key = u.key
          AND x.deleted_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > p_at) OFFSET 0
    ) r ON true
    WHERE u.expect >= 0 AND u.expect <> coalesce(r.version, 0) AND coalesce(r.version, 0) <> p_version;
    IF done + coalesce(jsonb_array_length(others), 0) <> v_all THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a record was made meanwhile';
    END IF;
END $$;
