-- A parent stays as long as one of its children has a parent that is not completed: if it were removed, and one
-- of its id were enqueued and completed, the child would be released too early.
DELETE FROM tasks
WHERE rowid IN (
    SELECT rowid FROM tasks AS t
    WHERE ns = ?1 AND queue = ?2 AND state = ?3 AND turn_lane = '' AND turn <= ?4
      AND NOT EXISTS (
          SELECT 1 FROM task_children AS c JOIN tasks AS child ON child.ns = c.ns AND child.id = c.child
          WHERE c.ns = t.ns AND c.parent = t.id AND child.unmet > 0)
    LIMIT ?5)
