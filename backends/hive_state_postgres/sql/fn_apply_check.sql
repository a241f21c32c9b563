-- The refusal of one check, NULL if it holds. `a` in a check: that its record is absent decides about writes to other
-- things, and what is absent cannot be locked: then the trip must be alone.
CREATE OR REPLACE FUNCTION hive.apply_check(p_ns int, p_at bigint, p_alone boolean, p_check jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_kind text := p_check->>'k';
    v_expected bigint := (p_check->>'e')::bigint;
    v_actual bigint;
BEGIN
    IF v_kind = 'lease' THEN
        SELECT token INTO v_actual FROM hive.tasks WHERE ns = p_ns AND id = p_check->>'t';
        IF v_actual = v_expected AND v_actual > 0 THEN
            RETURN NULL;
        END IF;
        RETURN jsonb_build_object('f', 'lease', 'r', jsonb_build_array('t', p_check->>'t'), 'k', true,
                                  'e', v_expected, 'a', coalesce(v_actual, 0));
    END IF;
    SELECT CASE WHEN deleted_at IS NOT NULL OR expires_at <= p_at THEN 0
                WHEN v_kind = 'version' THEN version ELSE created_version END
    INTO v_actual
    FROM hive.records WHERE ns = p_ns AND collection = p_check->>'c' AND key = p_check->>'y';
    IF NOT FOUND AND p_check ? 'a' AND NOT p_alone THEN
        RAISE EXCEPTION USING ERRCODE = 'HS002', MESSAGE = 'the trip depends on an absence';
    END IF;
    IF coalesce(v_actual, 0) = v_expected THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('f', 'version', 'r', jsonb_build_array('r', p_check->>'c', p_check->>'y'), 'k', true,
                              'e', v_expected, 'a', coalesce(v_actual, 0));
END $$;
