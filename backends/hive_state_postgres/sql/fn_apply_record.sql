-- One Put, Delete or Touch of the general path; its result, and whether it changed anything.
CREATE OR REPLACE FUNCTION hive.apply_record(
    p_ns int, p_version bigint, p_at bigint, p_alone boolean, p_op jsonb, p_value bytea,
    OUT result jsonb, OUT changed boolean, OUT refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_collection text := p_op->>'c';
    v_key text := p_op->>'y';
    v_ttl bigint := (p_op->>'l')::bigint;
BEGIN
    IF p_op->>'k' = 'put' THEN
        changed := true;
        UPDATE hive.records r
        SET version = p_version, value = p_value, raw = (p_op->>'r')::boolean, index_fields = p_op->>'f',
            updated_at = p_at, deleted_at = NULL,
            created_version =
                CASE WHEN r.deleted_at IS NOT NULL OR r.expires_at <= p_at THEN p_version ELSE r.created_version END,
            created_at = CASE WHEN r.deleted_at IS NOT NULL OR r.expires_at <= p_at THEN p_at ELSE r.created_at END,
            expires_at = CASE WHEN v_ttl <> -1 THEN p_at + v_ttl
                              WHEN v_ttl = -1 AND r.deleted_at IS NULL AND r.expires_at > p_at THEN r.expires_at END
        WHERE r.ns = p_ns AND r.collection = v_collection AND r.key = v_key AND r.version < p_version;
        IF FOUND THEN
            RETURN;
        END IF;
        INSERT INTO hive.records (ns, collection, key, version, created_version, value, raw, index_fields,
                                  created_at, updated_at, expires_at)
        VALUES (p_ns, v_collection, v_key, p_version, p_version, p_value, (p_op->>'r')::boolean, p_op->>'f',
                p_at, p_at, CASE WHEN v_ttl <> -1 THEN p_at + v_ttl END)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a record was made meanwhile';
        END IF;
        RETURN;
    END IF;
    PERFORM 1 FROM hive.records r WHERE r.ns = p_ns AND r.collection = v_collection AND r.key = v_key;
    IF NOT FOUND AND p_op ? 'a' AND NOT p_alone THEN
        RAISE EXCEPTION USING ERRCODE = 'HS002', MESSAGE = 'the trip depends on an absence';
    END IF;
    IF p_op->>'k' = 'delete' THEN
        UPDATE hive.records r
        SET version = p_version, value = NULL, raw = false, index_fields = NULL, updated_at = p_at,
            expires_at = NULL, deleted_at = p_at
        WHERE r.ns = p_ns AND r.collection = v_collection AND r.key = v_key AND r.version < p_version
          AND r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > p_at);
    ELSE
        UPDATE hive.records r
        SET version = p_version, updated_at = p_at, expires_at = p_at + v_ttl
        WHERE r.ns = p_ns AND r.collection = v_collection AND r.key = v_key AND r.version < p_version
          AND r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > p_at);
    END IF;
    changed := FOUND;
    result := to_jsonb(changed);
END $$;
