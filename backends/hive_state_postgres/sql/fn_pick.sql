-- Locks the first ready tasks of some lanes, in claim order, up to `p_limit` and until payloads pass `p_room` bytes
-- (one at least, if there is any room). Those that another trip holds are passed over.
CREATE OR REPLACE FUNCTION hive.pick(
    p_ns int, p_queue text, p_lanes text[], p_limit int, p_room bigint, OUT ids text[], OUT tids tid[], OUT bytes bigint, OUT cut boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT t.* FROM unnest(p_lanes) l(lane), LATERAL (
            SELECT id, ctid AS tid, priority, due_at, ord, octet_length(payload)::bigint AS size FROM hive.tasks
            WHERE ns = p_ns AND queue = p_queue AND state = 'ready' AND lane = l.lane
            ORDER BY priority, due_at, ord LIMIT p_limit FOR UPDATE SKIP LOCKED
        ) t
    ), summed AS (
        SELECT *, sum(size) OVER in_order - size AS before FROM locked
        WINDOW in_order AS (ORDER BY priority, due_at, ord ROWS UNBOUNDED PRECEDING)
        ORDER BY priority, due_at, ord LIMIT p_limit
    )
    SELECT coalesce(array_agg(id ORDER BY priority, due_at, ord) FILTER (WHERE before <= p_room), '{}'),
           array_agg(tid ORDER BY priority, due_at, ord) FILTER (WHERE before <= p_room),
           coalesce(sum(size) FILTER (WHERE before <= p_room), 0)::bigint,
           coalesce(bool_or(before > p_room), false)
    INTO ids, tids, bytes, cut
    FROM summed;
END $$;
