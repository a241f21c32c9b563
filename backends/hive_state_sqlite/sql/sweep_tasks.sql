-- A parent stays as long as one of its children has a parent that is not completed: if it were removed, and one
-- of its id were enqueued and completed, the child would be released too early.
DELETE FROM tasks
WHERE rowid IN (
    SELECT rowid FROM tasks AS t
    WHERE ns = ?1 AND state = ?2 AND finished_at IS NOT NULL AND finished_at <= ?3
      AND NOT EXISTS (
          SELECT 1 FROM task_children AS c JOIN tasks AS child ON child.ns = c.ns AND child.id = c.child
          WHERE c.ns = t.ns AND c.parent = t.id AND child.unmet > 0)
    LIMIT ?4)
