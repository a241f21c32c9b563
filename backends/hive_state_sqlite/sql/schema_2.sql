-- Schema version 2, from version 1: the replication port (see hive_state_core.spi). An entity is named by its kind and
-- key: `name` and `part` are (collection, key), (stream, group) or (id, ''), `seq` is that of a delivery, or 0.

ALTER TABLE control ADD COLUMN version INTEGER NOT NULL DEFAULT 0;  -- the highest that was loaded, or given before `term`

CREATE TABLE sinks (              -- while there are any, the triggers of `capturing` are there too
    ns INTEGER NOT NULL, sink TEXT NOT NULL,
    PRIMARY KEY (ns, sink)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (              -- what a sink still has to be told
    ns INTEGER NOT NULL, sink TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, part TEXT NOT NULL,
    seq INTEGER NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (ns, sink, kind, name, part, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_oldest ON marks (ns, sink, version);

CREATE TABLE gone (               -- what was deleted, records apart: their tombstones are rows of their own
    ns INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, part TEXT NOT NULL, seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (ns, kind, name, part, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    ns INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (ns, name)
) STRICT, WITHOUT ROWID;
