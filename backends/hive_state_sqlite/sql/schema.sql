-- Schema version 1. Times are milliseconds since 1970, versions are store-wide ints (see hive_state_core.spi).
-- `ns` is control.ns: a namespace is a leading key column of every table.

CREATE TABLE control (            -- the one row of a namespace that says who may write, and counts
    ns        INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL UNIQUE,
    store_id  TEXT NOT NULL,
    peer      TEXT,
    state     TEXT NOT NULL,      -- open, sealed, moved, standby
    term      INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    counter   INTEGER NOT NULL,   -- of the last trip that wrote: version = term * 2^43 + counter
    orders    INTEGER NOT NULL,   -- task orders given out
    clock     INTEGER NOT NULL    -- instant of the last trip that wrote; no later one is earlier
) STRICT;

CREATE TABLE records (
    ns              INTEGER NOT NULL,
    collection      TEXT NOT NULL,
    key             TEXT NOT NULL,
    version         INTEGER NOT NULL,
    created_version INTEGER NOT NULL,
    value           BLOB,         -- NULL: a tombstone
    raw             INTEGER NOT NULL,
    index_fields    TEXT,         -- JSON [[field, tagged value], ...]
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    UNIQUE (ns, collection, key)
) STRICT;
CREATE INDEX records_expiry ON records (ns, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX records_tombstones ON records (ns, updated_at) WHERE value IS NULL;

CREATE TABLE record_index (       -- kept by the triggers below, so that no writer can forget it
    ns INTEGER NOT NULL, collection TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (ns, collection, field, value, key)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER records_index_insert AFTER INSERT ON records WHEN new.index_fields IS NOT NULL BEGIN
    INSERT INTO record_index
    SELECT new.ns, new.collection, json_extract(value, '$[0]'), json_extract(value, '$[1]'), new.key
    FROM json_each(new.index_fields);
END;
CREATE TRIGGER records_index_update AFTER UPDATE OF index_fields ON records
WHEN old.index_fields IS NOT new.index_fields BEGIN
    DELETE FROM record_index
    WHERE ns = old.ns AND collection = old.collection AND key = old.key
      AND field IN (SELECT json_extract(value, '$[0]') FROM json_each(coalesce(old.index_fields, '[]')))
      AND value IN (SELECT json_extract(value, '$[1]') FROM json_each(coalesce(old.index_fields, '[]')));
    INSERT INTO record_index
    SELECT new.ns, new.collection, json_extract(value, '$[0]'), json_extract(value, '$[1]'), new.key
    FROM json_each(coalesce(new.index_fields, '[]'));
END;
CREATE TRIGGER records_index_delete AFTER DELETE ON records WHEN old.index_fields IS NOT NULL BEGIN
    DELETE FROM record_index
    WHERE ns = old.ns AND collection = old.collection AND key = old.key
      AND field IN (SELECT json_extract(value, '$[0]') FROM json_each(old.index_fields))
      AND value IN (SELECT json_extract(value, '$[1]') FROM json_each(old.index_fields));
END;

CREATE TABLE tasks (
    ns               INTEGER NOT NULL,
    id               TEXT NOT NULL,
    version          INTEGER NOT NULL,
    queue            TEXT NOT NULL,
    state            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    ord              INTEGER NOT NULL,
    due_at           INTEGER NOT NULL,
    payload          BLOB NOT NULL,
    raw              INTEGER NOT NULL,
    dedupe_key       TEXT,
    lane             TEXT NOT NULL,     -- what it requires, a JSON list; '' = nothing
    parents          TEXT,              -- ids it depends on, a JSON list; NULL = none
    unmet            INTEGER NOT NULL,  -- of these, how many are not completed yet
    attempt          INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL,
    token            INTEGER NOT NULL,
    lease_until      INTEGER,
    worker           TEXT,
    cancel_requested INTEGER NOT NULL,
    error            TEXT,
    result           BLOB,
    result_raw       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    -- Where it stands among the tasks of its state: the ready ones in claim order, lane by lane, all others by the
    -- instant when their state ends, or when they ended.
    turn_lane        TEXT AS (CASE state WHEN 'ready' THEN lane ELSE '' END),
    turn             INTEGER AS (
        CASE state WHEN 'ready' THEN priority ELSE coalesce(finished_at, lease_until, due_at) END),
    UNIQUE (ns, id)
) STRICT;
-- One for all states, so that a change of state moves one entry: of a task that is worked at, within one page.
CREATE INDEX tasks_turn ON tasks (ns, queue, state, turn_lane, turn, due_at, ord);
CREATE INDEX tasks_dedupe ON tasks (ns, queue, dedupe_key) WHERE dedupe_key IS NOT NULL AND finished_at IS NULL;

CREATE TABLE task_children (      -- made with the child, gone with either
    ns INTEGER NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL,
    PRIMARY KEY (ns, parent, child)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER tasks_children_delete AFTER DELETE ON tasks BEGIN
    DELETE FROM task_children WHERE ns = old.ns AND parent = old.id;
    DELETE FROM task_children
    WHERE (ns, parent, child) IN (SELECT old.ns, value, old.id FROM json_each(coalesce(old.parents, '[]')));
END;

CREATE TABLE queues (             -- only those that were ever paused
    ns INTEGER NOT NULL, queue TEXT NOT NULL, version INTEGER NOT NULL, paused INTEGER NOT NULL,
    PRIMARY KEY (ns, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE commits (            -- the memory of commits that carried a commit_id
    ns INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, fingerprint BLOB NOT NULL,
    outcome BLOB NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (ns, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX commits_age ON commits (ns, at);

CREATE TABLE streams (            -- events with first <= seq <= last are there; a dropped one keeps `last`
    ns INTEGER NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, dropped INTEGER NOT NULL,
    PRIMARY KEY (ns, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    ns INTEGER NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, version INTEGER NOT NULL,
    body BLOB NOT NULL, raw INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (ns, stream, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE groups (             -- what a group was handed: all up to `position`
    ns INTEGER NOT NULL, stream TEXT NOT NULL, grp TEXT NOT NULL, version INTEGER NOT NULL,
    position INTEGER NOT NULL, max_deliveries INTEGER NOT NULL,
    PRIMARY KEY (ns, stream, grp)
) STRICT, WITHOUT ROWID;
CREATE TABLE pending (            -- of that, what it has not finished; token 0: it waits, or is dead
    ns INTEGER NOT NULL, stream TEXT NOT NULL, grp TEXT NOT NULL, seq INTEGER NOT NULL,
    version INTEGER NOT NULL, token INTEGER NOT NULL, deliveries INTEGER NOT NULL,
    consumer TEXT NOT NULL, until INTEGER NOT NULL, dead INTEGER NOT NULL, error TEXT,
    PRIMARY KEY (ns, stream, grp, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_due ON pending (ns, stream, grp, until) WHERE dead = 0;
