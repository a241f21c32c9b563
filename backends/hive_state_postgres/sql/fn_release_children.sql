-- One parent less to wait for, for each edge from a task that was just completed; the last one sets a child free.
CREATE OR REPLACE FUNCTION hive.release_children(p_ns int, p_version bigint, p_at bigint, p_parents text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hive.tasks t
    SET unmet = t.unmet - k.met, version = p_version, updated_at = p_at,
        state = CASE WHEN t.state <> 'waiting' OR t.unmet > k.met THEN t.state
                     WHEN t.due_at <= p_at THEN 'ready' ELSE 'scheduled' END
    FROM (
        SELECT t.tid, c.met FROM (
            SELECT c.child, count(*)::int AS met FROM unnest(p_parents) p(id), LATERAL (
                SELECT child FROM hive.task_children WHERE ns = p_ns AND parent = p.id OFFSET 0) c
            GROUP BY c.child
        ) c, LATERAL (SELECT ctid AS tid FROM hive.tasks WHERE ns = p_ns AND id = c.child OFFSET 0) t
        OFFSET 0
    ) k
    WHERE t.ctid = k.tid AND t.unmet > 0;
END $$;
