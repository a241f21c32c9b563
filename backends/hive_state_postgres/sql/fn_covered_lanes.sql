-- The lanes of a queue that have ready tasks and require nothing beyond `p_capabilities`, found by index hops.
CREATE OR REPLACE FUNCTION hive.covered_lanes(p_ns int, p_queue text, p_capabilities text[])
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    v_lanes text[] := ARRAY[''];
    v_lane text := '';
    v_requires text[];
BEGIN
    IF cardinality(p_capabilities) = 0 THEN
        RETURN v_lanes;
    END IF;
    LOOP
        SELECT lane, requires INTO v_lane, v_requires FROM hive.tasks
        WHERE ns = p_ns AND queue = p_queue AND state = 'ready' AND lane > v_lane COLLATE "C"
        ORDER BY lane LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF v_requires <@ p_capabilities THEN
            v_lanes := v_lanes || v_lane;
        END IF;
    END LOOP;
    RETURN v_lanes;
END $$;
