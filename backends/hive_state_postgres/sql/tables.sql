-- Instants are milliseconds since 1970, versions are store-wide ints (see hive_state_core.spi).
-- `ns` is control.ns: a namespace is a leading key column of every table. Strings are ordered by their bytes.
-- No index holds a column that a plain write changes, so that most writes of records touch no index at all.

CREATE TABLE hive.schema_version (
    version int NOT NULL
);

-- Versions are term * 2^43 + a number of this sequence, task orders 1024 numbers each: one for all namespaces, for
-- gaps are allowed, and a column of the control row would make every trip wait for the one before it.
CREATE SEQUENCE hive.counter AS bigint CACHE 1;

CREATE TABLE hive.control (       -- the one row of a namespace that says who may write
    ns        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL UNIQUE,
    store_id  text NOT NULL,
    peer      text,
    state     text NOT NULL,      -- open, sealed, moved, standby
    term      bigint NOT NULL,
    epoch     bigint NOT NULL,
    sinks     text[] NOT NULL DEFAULT '{}',
    floor     bigint NOT NULL,    -- no instant is earlier, nor than the latest of `trips`
    order_floor bigint NOT NULL DEFAULT 0,  -- no task that is enqueued here has a lower order
    version   bigint NOT NULL DEFAULT 0     -- the highest that was loaded, or given before `term`
);

CREATE TABLE hive.records (
    ns              int NOT NULL,
    collection      text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    version         bigint NOT NULL,
    created_version bigint NOT NULL,
    value           bytea,        -- NULL: a tombstone
    raw             boolean NOT NULL,
    index_fields    text,         -- JSON [[field, tagged value], ...]
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    expires_at      bigint,
    deleted_at      bigint,       -- of a tombstone
    PRIMARY KEY (ns, collection, key)
) WITH (fillfactor = 80);
CREATE INDEX records_expiry ON hive.records (ns, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX records_tombstones ON hive.records (ns, deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE hive.record_index (  -- kept by a trigger of `records`
    ns         int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    field      text COLLATE "C" NOT NULL,
    value      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    PRIMARY KEY (ns, collection, field, value, key)
);

CREATE TABLE hive.tasks (
    ns               int NOT NULL,
    id               text COLLATE "C" NOT NULL,
    version          bigint NOT NULL,
    queue            text COLLATE "C" NOT NULL,
    state            text COLLATE "C" NOT NULL,
    priority         smallint NOT NULL,
    ord              bigint NOT NULL,
    due_at           bigint NOT NULL,
    payload          bytea NOT NULL,
    raw              boolean NOT NULL,
    dedupe_key       text COLLATE "C",
    lane             text COLLATE "C" NOT NULL,  -- hash of what it requires; '' = nothing
    requires         text[] NOT NULL,
    parents          text[] NOT NULL,
    unmet            int NOT NULL,               -- of the parents, how many are not completed yet
    attempt          int NOT NULL,
    max_attempts     int NOT NULL,
    token            bigint NOT NULL,
    lease_until      bigint,
    worker           text,
    cancel_requested boolean NOT NULL,
    error            text,
    result           bytea,
    result_raw       boolean NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    finished_at      bigint,
    PRIMARY KEY (ns, id)
) WITH (fillfactor = 70);
CREATE INDEX tasks_ready ON hive.tasks (ns, queue, lane, priority, due_at, ord) WHERE state = 'ready';
CREATE INDEX tasks_scheduled ON hive.tasks (ns, queue, due_at) WHERE state = 'scheduled';
CREATE INDEX tasks_leased ON hive.tasks (ns, queue, lease_until) WHERE state = 'leased';
CREATE INDEX tasks_finished ON hive.tasks (ns, state, finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX tasks_dedupe ON hive.tasks (ns, queue, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND finished_at IS NULL;

CREATE TABLE hive.task_children ( -- made with the child, gone with either
    ns     int NOT NULL,
    parent text COLLATE "C" NOT NULL,
    child  text COLLATE "C" NOT NULL,
    PRIMARY KEY (ns, parent, child)
);

CREATE TABLE hive.queues (        -- only those that were ever paused
    ns      int NOT NULL,
    queue   text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    paused  boolean NOT NULL,
    PRIMARY KEY (ns, queue)
);

CREATE TABLE hive.streams (       -- events with first <= seq <= last are there; a dropped one keeps `last`
    ns      int NOT NULL,
    stream  text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    first   bigint NOT NULL,
    last    bigint NOT NULL,
    dropped boolean NOT NULL,     -- also that of a stream which only has groups so far
    PRIMARY KEY (ns, stream)
) WITH (fillfactor = 50);

CREATE TABLE hive.events (
    ns      int NOT NULL,
    stream  text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    version bigint NOT NULL,
    body    bytea NOT NULL,
    raw     boolean NOT NULL,
    at      bigint NOT NULL,
    PRIMARY KEY (ns, stream, seq)
);

CREATE TABLE hive.groups (        -- what a group was handed: all up to `position`; its stream has a row
    ns             int NOT NULL,
    stream         text COLLATE "C" NOT NULL,
    grp            text COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    position       bigint NOT NULL,
    max_deliveries int NOT NULL,
    PRIMARY KEY (ns, stream, grp)
) WITH (fillfactor = 50);

CREATE TABLE hive.pending (       -- of that, what it has not finished; token 0: it waits, or is dead
    ns         int NOT NULL,
    stream     text COLLATE "C" NOT NULL,
    grp        text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,
    version    bigint NOT NULL,
    token      bigint NOT NULL,
    deliveries int NOT NULL,
    consumer   text NOT NULL,
    until      bigint NOT NULL,
    dead       boolean NOT NULL,
    error      text,
    PRIMARY KEY (ns, stream, grp, seq)
) WITH (fillfactor = 70);
CREATE INDEX pending_due ON hive.pending (ns, stream, grp, until) WHERE NOT dead;

CREATE TABLE hive.commits (       -- the memory of commits that carried a commit_id
    ns          int NOT NULL,
    id          text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    fingerprint bytea NOT NULL,
    outcome     jsonb NOT NULL,
    at          bigint NOT NULL,
    PRIMARY KEY (ns, id)
);
CREATE INDEX commits_age ON hive.commits (ns, at);

CREATE TABLE hive.trips (         -- what is needed to give the reply of a trip again; the latest instant, too
    ns      int NOT NULL,
    trip_id text COLLATE "C" NOT NULL,
    kind    text NOT NULL,        -- commit, claim, void
    epoch   bigint NOT NULL,
    at      bigint NOT NULL,
    version bigint NOT NULL,
    shape   text,                 -- of a commit: letters, see commit_flat; of a claim: JSON [[run, limit], ...]
    ids     text[],               -- of tasks: enqueued, or claimed
    seqs    bigint[],             -- of events: appended, or claimed
    slots   int[],                -- of a claim: which request got each of the ids, then each of the seqs
                                  -- of a commit: which of the ids, from 1, were there before
    tokens  bigint[],             -- of a claim: of each of the ids, then of the seqs
    others  jsonb,        -- outcomes that the shape does not tell; of a claim: the next_due of each run
    PRIMARY KEY (ns, trip_id)
);
CREATE INDEX trips_at ON hive.trips (ns, at);

-- The replication port. An entity is named by its kind and key: `name` and `part` are (collection, key), (stream, group) or
-- (id, ''), `seq` is that of a delivery, or 0.
CREATE TABLE hive.marks (         -- what a sink still has to be told
    ns      int NOT NULL,
    sink    text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    part    text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (ns, sink, kind, name, part, seq)
);
CREATE INDEX marks_oldest ON hive.marks (ns, sink, version);

CREATE TABLE hive.written (       -- marks of the sink `cache`: the records that one statement wrote
    ns          int NOT NULL,
    version     bigint NOT NULL,
    collections text[] COLLATE "C" NOT NULL,
    keys        text[] COLLATE "C" NOT NULL
);
CREATE INDEX written_oldest ON hive.written (ns, version);

CREATE TABLE hive.gone (          -- what was deleted, records apart: their tombstones are rows of their own
    ns      int NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    part    text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (ns, kind, name, part, seq)
);

CREATE TABLE hive.notes (
    ns    int NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (ns, name)
);

-- The planner is not to take a namespace for few rows, because it was when the statistics were made.
ALTER TABLE hive.records ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.record_index ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.tasks ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.task_children ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.streams ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.events ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.groups ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.pending ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.commits ALTER COLUMN ns SET (n_distinct = 1);
ALTER TABLE hive.trips ALTER COLUMN ns SET (n_distinct = 1);
