-- Ended tasks that a sweep may remove: no child of theirs waits for a parent any more. Otherwise, if one of their id were
-- enqueued and completed again, the child would be released too early.
CREATE OR REPLACE FUNCTION hive.removable(p_ns int, p_state text, p_before bigint, p_limit int)
RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT t.id FROM hive.tasks t
    WHERE t.ns = p_ns AND t.state = p_state AND t.finished_at IS NOT NULL AND t.finished_at <= p_before
      AND NOT EXISTS (SELECT 1 FROM hive.task_children c JOIN hive.tasks child ON child.ns = c.ns AND child.id = c.child
                      WHERE c.ns = p_ns AND c.parent = t.id AND child.unmet > 0)
    LIMIT p_limit;
END $$;
