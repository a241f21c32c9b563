-- Completions of flat batches, by id. As apply_puts. If tasks and their children are not locked, none has children: who
-- begins to wait for a task locks it first, so once it is written here that can be told for certain.
-- A task has a token above 0 if and only if it is leased; its state, named here, would make the planner read an index
-- of all leased tasks.
CREATE OR REPLACE FUNCTION hive.apply_completes(
    p_ns int, p_version bigint, p_at bigint, p_locked boolean, p_places int[], p_ids text[], p_tokens bigint[], p_results bytea[],
    p_raws boolean[], p_refused int[], OUT done int, OUT others jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_done text[];
BEGIN
    WITH turned AS (
        UPDATE hive.tasks t
        SET state = 'completed', version = p_version, token = 0, lease_until = NULL, worker = NULL,
            result = u.result, result_raw = u.raw, updated_at = p_at, finished_at = p_at
        FROM (
            SELECT u.*, x.tid
            FROM unnest(p_places, p_ids, p_tokens, p_results, p_raws) u(place, id, token, result, raw),
            LATERAL (SELECT ctid AS tid FROM hive.tasks x WHERE x.ns = p_ns AND x.id = u.id OFFSET 0) x
            WHERE u.token <> 0 AND u.place <> ALL (p_refused) OFFSET 0
        ) u
        WHERE t.ctid = u.tid AND t.token = abs(u.token) AND t.version < p_version
        RETURNING t.id
    )
    SELECT array_agg(id) INTO v_done FROM turned;
    done := coalesce(cardinality(v_done), 0);
    IF done > 0 AND p_locked THEN
        PERFORM hive.release_children(p_ns, p_version, p_at, v_done);
    ELSIF done > 0 AND hive.have_children(p_ns, v_done) THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a task began to wait for one of these meanwhile';
    END IF;
    IF done < cardinality(p_places) THEN
        SELECT jsonb_agg(jsonb_build_array(u.place, jsonb_build_object(
                   'f', 'lease', 'r', jsonb_build_array('t', u.id), 'i', 0, 'k', false,
                   'e', u.token, 'a', coalesce(t.token, 0))))
        INTO others
        FROM unnest(p_places, p_ids, p_tokens) u(place, id, token)
        LEFT JOIN LATERAL (SELECT x.token FROM hive.tasks x WHERE x.ns = p_ns AND x.id = u.id OFFSET 0) t ON true
        WHERE u.token >= 0 AND u.id <> ALL (coalesce(v_done, '{}')) AND u.place <> ALL (p_refused)
          AND (u.token = 0 OR t.token IS DISTINCT FROM u.token);
        IF done + coalesce(jsonb_array_length(others), 0)
            <> (SELECT count(*) FROM unnest(p_places) place WHERE place <> ALL (p_refused))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a task was extended meanwhile';
        END IF;
    END IF;
END $$;
