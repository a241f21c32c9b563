"""The driver SPI: what a backend implements, and what it may rely on.

A driver is dumb and exact: bytes in, bytes out. It owns atomicity, order, the clock, expiry, the choice
of tasks in a claim, and the mapping of native errors. Core owns everything else: validation and limits,
JSON, retries, time-outs, batching, back-off schedules, heartbeats, iteration, opaque cursors.

Read this page from top to bottom; `model.py` (refs and images, conventions for instants, durations,
versions, values and strings) belongs to it. "Must" binds the driver, "core" says what it may rely on.

Store
-----
A driver instance is one *store*: one namespace of one database. Namespaces share nothing: no key, no
version counter, no control row. The namespace is given when the driver is built, so nothing below names it.

The trip
--------
Core gathers the calls of many concurrent callers and hands them over together; what is sent together is
a *trip*. `commit` and `claim` take trips that write. A write trip is one transaction, made durable once:

1. *Lock.* First the store's write fence, shared; under it read the control row (`Control`) and refuse the
   whole trip unless the state is OPEN. Then, in one global order, everything that the decisions depend on
   or the trip changes: targets, checked records and named parents (shared is enough), whether they exist
   or not; commit ids; the dedupe places of every Enqueue, Redrive and task that ends; children of
   Complete. Or exclude all other writers of the store. The effect must be that of some serial order of
   all write trips.
2. What can be found only by reading is locked in the same order and read again. If it changed meanwhile,
   or on a native deadlock, start the trip anew. A lock that is not waited for (SKIP LOCKED) has no place
   in the order.
3. Take the trip's instant `at` from the store's clock, once. It is never earlier than the instant of a
   trip that wrote and ended before this one began, even if the clock was set back: clamp it.
4. Take the trip's version(s): term * 2**43 + counter, the counter growing with every trip, taken after
   the locks. It is greater than the versions of every trip that ended before this one began, and than any
   its entities ever had. Gaps are fine. Batches of one trip may share a version or have ascending ones.
5. *Decide* each batch. Checks and leases are decided from the state as it was before the trip (the
   pre-state). Everything else is decided as if the operations before it *in the same batch* were applied:
   a batch may complete a task and enqueue one with the dedupe key that this frees, or enqueue a parent
   and then its child; a delivery that a DropStream or a forced Trim before it has forgotten is no longer
   current. Batches of one trip do not see each other (but see what is left to the driver, below).
   A claim or sweep takes its instant once its queues are locked, and finds tasks by it; one that another
   trip holds may be passed over as if it were not there.
6. *Apply* the batches that were not refused. From the first write on nothing may refuse (or the
   batch is rolled back to a savepoint).

A refused batch leaves no trace and never touches its neighbours. A trip in which nothing changes writes
nothing. If an unexpected native error ends the trip, all of it is rolled back and `Internal` is raised;
core then sends each batch in a trip of its own, once.

Core guarantees, for one call of `commit`:

- no two batches *conflict*. Two batches conflict if they share a record, a task, a dedupe key as named in
  Enqueue, a delivery, or a commit id, unless both only check it or name it as parent; or if one of them
  has a CreateGroup, Seek or DropGroup and the other anything on that group; or a Trim or DropStream, and
  the other anything on that stream (its groups too); or if both have a SetPaused of one queue;
- appends to one stream, enqueues to one queue, and Acks, Nacks and ExtendDeliveries of different deliveries
  of one group do *not* conflict: their order in the trip is the order of the batches, then of the operations;
- a batch has at most one operation with a given `ref`, Append apart (a check is no operation: "version is
  v" beside a Put of that record is normal). Several Enqueues may name one dedupe key: the first wins;
- limits hold: at most `TRIP_BATCHES` batches (or claim requests) and, unless it is a single batch,
  `TRIP_BYTES` of values, each check and operation counting for 1 KiB at least;
- a `trip_id` is never used again, and its outcome asked for within an hour.

Left to the driver is what core cannot see coming: a child that several batches release, or one releases
and another cancels or redrives; an Enqueue or Redrive whose dedupe key another batch takes or frees. These
are decided in the order of the trip, each batch seeing what the earlier ones did to that child or dedupe
key.

A driver may use two paths: a set-based one for trips of batches with a single operation, a general one
for the rest. Both must give the same results.

Order of sends: core never has two commits in flight that conflict. Commits, claims and
reads may be in flight beside each other, and other processes are always there.

Concurrency and cancellation
----------------------------
All methods are called on one event loop. Core does not cancel a write trip that was handed over, except
by giving up on it when the process ends; if it is cancelled all the same, the effect must be whole or
absent and the driver usable. A method must not block the loop for more than about a millisecond, and what
reads or writes must give way to it at least once (`await asyncio.sleep(0)` will do): a caller's loop would
let nobody else have a turn. Nothing is called after `close`, nothing but `schema` and `examine` before
`open`.

Errors
------
Only the tree of `errors.py` leaves a driver; the native error is the `__cause__`; messages say where and
how to mend it, and hold no values and no passwords. For a write trip:

- `Unavailable` (or `StoreFull`): surely not applied, another try may work. A driver waits for locks and
  connections, and repeats a transaction that surely was not applied (deadlock, lost swap), up to its
  configured time before it raises it.
- `Indeterminate`: sent, end unknown, or not provably rolled back. Only then does core ask `outcome`.
- `Sealed`, `StoreMoved`, `NotPrimary`: what the control row said. Not applied.
- `Internal`: an unforeseen native error, after a complete roll-back.

Expiry
------
A record is absent from the instant `expires_at` on, in every method below: reads, scans, counts, checks
and operations alike, whether or not `sweep` has been by. Writing to an expired record is writing to an
absent one (`created_at` starts anew). Deleting leaves a tombstone with a version of its own, which only
`sweep` removes. Reads take an instant that is not earlier than that of any trip in their snapshot.

Sizes
-----
A page, a stream read or a claim may end early, after at least one item, once the values of the whole call
pass `limits.REPLY_BYTES`; later requests of a claim may then get nothing.

Changes
-------
Put, SetPaused and Extend always write, and so does Prioritize of a live task. A Cancel that is already
requested, or of an ended task, does not, nor does whatever found nothing to act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from hive_state_core.features import Features
from hive_state_core.limits import VERSION_MAX
from hive_state_core.model import (
    EntityRef,
    EventImage,
    GroupImage,
    GroupRef,
    Image,
    Index,
    PendingImage,
    QueueImage,
    QueueRef,
    ReadRef,
    RecordImage,
    RecordRef,
    Ref,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
    TaskState,
    Topic,
)

T = TypeVar("T")

KEEP_TTL = -1
"""As a `ttl`: leave `expires_at` as it is (none, if the record was absent)."""

# --------------------------------------------------------------------------------------------------
# Checks: what must hold in the pre-state, or the batch is refused


class VersionIs(msgspec.Struct, frozen=True, gc=False):
    """The record's version is `version`; 0: the record is absent (never there, deleted or expired)."""

    ref: RecordRef
    version: int


class LeaseIs(msgspec.Struct, frozen=True, gc=False):
    """The task is leased under `token`.

    This is the one meaning of "the lease is current" everywhere in this page: state `leased` and
    the same token. A lease whose time is over stays current until a claim or a sweep takes it away.
    """

    ref: TaskRef
    token: int


class CreatedIs(msgspec.Struct, frozen=True, gc=False):
    """The record is present, and `version` is its `created_version`: the same holder, however often it
    was written or touched since. So a lock's fencing token is checked."""

    ref: RecordRef
    version: int


Check = VersionIs | CreatedIs | LeaseIs

# --------------------------------------------------------------------------------------------------
# Operations on records


class Put(msgspec.Struct, frozen=True, gc=False):
    """Write the whole record. `ttl`: duration, None = never expires, KEEP_TTL. Result: None."""

    ref: RecordRef
    value: bytes
    raw: bool = False
    index: Index = ()
    ttl: int | None = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Leave a tombstone. Result: bool, whether the record was present. Absent: nothing is written."""

    ref: RecordRef


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Set `expires_at` anew (`ttl`: duration, None = never) and give the record the new version.

    Result: bool, whether the record was present. Absent: nothing is written.
    """

    ref: RecordRef
    ttl: int | None


# --------------------------------------------------------------------------------------------------
# Operations on tasks. Those with a token are refused (Reason.LEASE; actual 0 if there is no lease, or no
# such task) unless the lease is current. Leaving `leased` sets token 0, lease_until and worker None.


class Enqueue(msgspec.Struct, frozen=True, gc=False):
    """Add a task. Result: `Enqueued`.

    - A task of that id exists, in whatever state: nothing is written, created=False.
    - Else a live task of the queue holds the dedupe key: nothing is written, created=False, its id.
    - A parent in `depends_on` (sorted, no doubles) does not exist: the batch is refused (Reason.MISSING).
    - Parents that are not completed, dead and cancelled ones too, are counted in `unmet`; > 0 makes the
      task `waiting`.
    - Otherwise `delay` > 0 makes it `scheduled` with due_at = at + delay, and 0 `ready` with due_at = at.
      A delayed waiting task keeps the same due_at and obeys it when it is released.
    - `order` grows in the sense that if one enqueue returned before another was called, it has the lower
      order; and in the order of operations within a batch.
    """

    ref: TaskRef
    queue: str
    payload: bytes
    raw: bool = False
    priority: int = 5
    delay: int = 0
    max_attempts: int = 1
    dedupe_key: str | None = None
    requires: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


class Complete(msgspec.Struct, frozen=True, gc=False):
    """leased -> completed, with an optional result; `error` stays. Result: None.

    Every child with `unmet` > 0 (it is waiting or cancelled) has it lowered and takes a version of this
    trip; a waiting one that reaches 0 becomes scheduled or ready by its due_at.
    """

    ref: TaskRef
    token: int
    result: bytes | None = None
    raw: bool = False


class Fail(msgspec.Struct, frozen=True, gc=False):
    """leased -> cancelled, if that was requested; else dead, if `retry_in` is None or attempt >=
    max_attempts; else ready (retry_in 0) or scheduled, with due_at = at + retry_in. Stores `error`.
    Result: TaskState."""

    ref: TaskRef
    token: int
    error: str
    retry_in: int | None


class Release(msgspec.Struct, frozen=True, gc=False):
    """Give the task back unharmed: attempt is lowered by one. Result: TaskState.

    -> cancelled, if that was requested; delay 0 -> ready in its old place (due_at and order stay);
    else scheduled with due_at = at + delay.
    """

    ref: TaskRef
    token: int
    delay: int = 0


class Extend(msgspec.Struct, frozen=True, gc=False):
    """lease_until = the later of lease_until and at + lease. The token stays. Result: `Extended`."""

    ref: TaskRef
    token: int
    lease: int


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """waiting, scheduled, ready -> cancelled. leased: `cancel_requested` is set, the lease goes on, and
    Complete still completes. An ended task stays as it is. Result: TaskState afterwards, None = no such
    task."""

    ref: TaskRef


class Redrive(msgspec.Struct, frozen=True, gc=False):
    """dead or cancelled -> ready with attempt 0, due_at = at (waiting, if `unmet` > 0); cancel_requested
    is cleared, `order` and `error` stay. Result: bool, whether it was done: False if the task is in
    another state, does not exist, or another live task holds its dedupe key by now."""

    ref: TaskRef


class Take(msgspec.Struct, frozen=True, gc=False):
    """A claim of this one task: ready, or scheduled and due -> leased, attempt + 1, token = version, whatever
    it requires and whether its queue is paused or not. Result: int, the token; 0 = it is in another state, or
    there is no such task."""

    ref: TaskRef
    worker: str
    lease: int


class Prioritize(msgspec.Struct, frozen=True, gc=False):
    """Set the priority of a live task; its due instant and order stay. Of a leased one it counts when that
    comes back. Result: bool, whether it was done: False if the task has ended or does not exist."""

    ref: TaskRef
    priority: int


class SetPaused(msgspec.Struct, frozen=True, gc=False):
    """While a queue is paused, claims on it find nothing; leases that are out go on. Result: None."""

    ref: QueueRef
    paused: bool


# --------------------------------------------------------------------------------------------------
# Operations on streams and consumer groups


class Append(msgspec.Struct, frozen=True, gc=False):
    """Add one event with seq = last + 1; creates the stream. Result: int, the seq."""

    ref: StreamRef
    body: bytes
    raw: bool = False


class CreateGroup(msgspec.Struct, frozen=True, gc=False):
    """Create the group, to be handed the events with seq > `position` (None: > last, "from now on"; above
    last: clamped to it).

    `max_deliveries`: an event whose deliveries are used up becomes dead in this group. The stream need
    not exist (its last is 0). Result: bool; False if the group exists, which then stays as it is.
    """

    ref: GroupRef
    position: int | None
    max_deliveries: int


class Ack(msgspec.Struct, frozen=True, gc=False):
    """The group has finished these (seq, token) deliveries. Refused (Reason.LEASE, with `Refused.seq`)
    unless each of them is pending under its token when the operation's turn comes: a late ack after a
    redelivery never takes the new delivery away. All are looked at before one is changed; one that is named
    twice is changed once. Token 0 names a dead delivery only, and discards it.
    Result: None."""

    ref: GroupRef
    deliveries: tuple[tuple[int, int], ...]


class Nack(msgspec.Struct, frozen=True, gc=False):
    """Hand the deliveries out again after `retry_in`, or make them dead at once (None, or no deliveries
    left; then `until` stays). Stores `error`; sets token 0. `spent` False: this delivery does not count, and
    does not make it dead. With token 0 a dead delivery is handed out again, its deliveries counting from 0.
    Refused as Ack is. Result: None."""

    ref: GroupRef
    deliveries: tuple[tuple[int, int], ...]
    retry_in: int | None
    error: str | None = None
    spent: bool = True


class ExtendDeliveries(msgspec.Struct, frozen=True, gc=False):
    """until = the later of until and at + lease, for each; tokens stay. Refused as Ack is, and for token 0: a
    dead delivery has no lease. Result: None."""

    ref: GroupRef
    deliveries: tuple[tuple[int, int], ...]
    lease: int


class Seek(msgspec.Struct, frozen=True, gc=False):
    """Set `position` (clamped to 0..last), forget all that is pending or dead. Refused (Reason.MISSING)
    if there is no group. Result: None."""

    ref: GroupRef
    position: int


class DropGroup(msgspec.Struct, frozen=True, gc=False):
    """Result: bool, whether it existed."""

    ref: GroupRef


class Trim(msgspec.Struct, frozen=True, gc=False):
    """Remove the events with seq < `first`. Result: `Trimmed`.

    An event that some group has pending or dead, or has not been handed yet, is kept, and so are all
    after it, unless `force`: then it is removed, forgotten by the groups (a later Ack is refused), and
    counted in `dropped`. May stop early; `first` says how far it came.
    """

    ref: StreamRef
    first: int
    force: bool = False


class DropStream(msgspec.Struct, frozen=True, gc=False):
    """Remove all events and groups; `last` stays, for the numbers' sake, but the stream reads as None
    until the next Append. Result: bool, whether there was such a stream."""

    ref: StreamRef


Op = (
    Put
    | Delete
    | Touch
    | Enqueue
    | Complete
    | Fail
    | Release
    | Extend
    | Cancel
    | Redrive
    | Take
    | Prioritize
    | SetPaused
    | Append
    | CreateGroup
    | Ack
    | Nack
    | ExtendDeliveries
    | Seek
    | DropGroup
    | Trim
    | DropStream
)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Checks and operations that are committed together or not at all. Checks come first.

    `commit_id` makes a batch idempotent across retries. It is looked up before anything else: if a batch
    of that id was committed (and not yet swept) with the same `fingerprint` (core's hash of checks and
    operations), its outcome is returned again, and nothing is written; with another fingerprint the batch
    is refused (Reason.COMMIT_ID, ref = CommitRef). Refusals are not remembered; a commit that changed
    nothing is (its version is 0, that of the memory one of the trip). Both are given or neither.
    """

    ops: tuple[Op, ...]
    checks: tuple[Check, ...] = ()
    commit_id: str | None = None
    fingerprint: bytes | None = None


# --------------------------------------------------------------------------------------------------
# Results


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    id: str
    created: bool


class Extended(msgspec.Struct, frozen=True, gc=False):
    lease_until: int
    cancel_requested: bool


class Trimmed(msgspec.Struct, frozen=True, gc=False):
    """`removed` events in all, `dropped` of them unfinished in some group; `first` is the stream's first
    seq now."""

    removed: int
    dropped: int
    first: int


OpResult = None | bool | int | TaskState | Enqueued | Extended | Trimmed


class Reason(Enum):
    VERSION = "version"  #: VersionIs or CreatedIs failed; actual: version or created_version, 0 = absent
    LEASE = "lease"  #: the lease or delivery is not current: expected and actual are tokens, 0 = none
    MISSING = "missing"  #: `ref` names a task or group that does not exist
    COMMIT_ID = "commit_id"  #: the commit id was used for another batch; index 0, in_check False


class Committed(msgspec.Struct, frozen=True, gc=False):
    """`version` is the version that all the batch wrote carries (0: it changed nothing); `at` the trip's
    instant; one result an operation. Of a remembered commit, all three are those of the first time."""

    version: int
    at: int
    results: tuple[OpResult, ...]


class Refused(msgspec.Struct, frozen=True):
    """The first thing that did not hold: all checks in order, then the operations in order.
    `index` is its place among the checks (`in_check`) or the operations."""

    reason: Reason
    ref: Ref
    index: int
    in_check: bool
    expected: int = 0
    actual: int = 0
    seq: int = 0
    """Of Ack, Nack, ExtendDeliveries: the first delivery that is not current."""


Outcome = Committed | Refused


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """What every call that reads or writes returns: the epoch of the control row that was in force, the
    store's instant, and one result for each thing asked, in the order asked."""

    epoch: int
    at: int
    results: Sequence[T]


# --------------------------------------------------------------------------------------------------
# Claims


class ClaimTasks(msgspec.Struct, frozen=True, gc=False):
    """Up to `limit` tasks of one queue whose `requires` are all among `capabilities`, leased for `lease`."""

    queue: str
    worker: str
    lease: int
    limit: int = 1
    capabilities: frozenset[str] = frozenset()


class ClaimEvents(msgspec.Struct, frozen=True, gc=False):
    """Up to `limit` events for a consumer of a group, to be acked within `lease`."""

    ref: GroupRef
    consumer: str
    lease: int
    limit: int = 1


ClaimRequest = ClaimTasks | ClaimEvents


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """`delivery` counts from 1."""

    event: EventImage
    token: int
    delivery: int
    until: int


class ClaimedTasks(msgspec.Struct, frozen=True, gc=False):
    """In claim order. `next_due_in` is a hint, given if fewer than `limit` were found: the duration from
    `Reply.at` to the earliest instant at which a task that is scheduled or leased by then may become
    claimable (in this queue, of whatever requirements); None = unknown or paused. If the claim ended early
    by size, passed over tasks that another trip held, or left due ones untouched, it is 0: ask again soon."""

    tasks: tuple[TaskImage, ...]
    next_due_in: int | None = None


class ClaimedEvents(msgspec.Struct, frozen=True, gc=False):
    """In seq order. `missing`: there is no such group. `next_due_in` as in ClaimedTasks."""

    deliveries: tuple[Delivery, ...]
    missing: bool = False
    next_due_in: int | None = None


Claimed = ClaimedTasks | ClaimedEvents

# --------------------------------------------------------------------------------------------------
# Reads


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a kind, in key order, from one snapshot.

    kind      "record" (key: the record's key, `within` = collection, required), "task" (key: id; `within` =
              queue or None = all), "queue" (key: name; only those ever paused), "stream" (key: name),
              "group" (key: group; `within` = stream, required), "pending" (key: the seq in decimal, ordered
              as a number; what a group was handed and has not finished; `within` = stream and `group`,
              required, `start` and `stop` None)
    start     first key that may occur, None = from the lowest
    stop      first key that may not occur any more, None = to the highest; start >= stop is an empty page
    after     exclusive: the last key seen in scan direction; need not exist any more
    reverse   from the highest key down, within the same bounds
    where     records only: for each (field, value) the record has that index entry. Values match by
              type and value: 1, 1.0, "1", True and None are five different ones
    states    tasks only: None = any
    dead      pending only: those that are dead, or are not; None = all
    limit     rows in a page, at least 1
    count     only count: `items` stays empty, `total` is the number of all matches, whatever the limit
    values    False: values, payloads and results are left out (b"" in the images), for a listing
    """

    kind: Literal["record", "task", "queue", "stream", "group", "pending"]
    within: str | None = None
    group: str | None = None
    start: str | None = None
    stop: str | None = None
    after: str | None = None
    reverse: bool = False
    where: Index = ()
    states: frozenset[TaskState] | None = None
    dead: bool | None = None
    limit: int = 100
    count: bool = False
    values: bool = True


ScanImage = RecordImage | TaskImage | QueueImage | StreamImage | GroupImage | PendingImage


class Page(msgspec.Struct, frozen=True):
    """`next`: pass it as `after` for what follows; None: this was all. A page may be short, even empty,
    although more follows. `total` only for a count."""

    epoch: int
    at: int
    items: Sequence[ScanImage]
    next: str | None
    total: int | None = None


class StreamRead(msgspec.Struct, frozen=True, gc=False):
    """Up to `limit` events with seq >= `start` (reverse: seq <= `start`, downwards), without any group."""

    ref: StreamRef
    start: int
    limit: int
    reverse: bool = False


class StreamPage(msgspec.Struct, frozen=True):
    """The events, and the stream's bounds in the same snapshot. A `start` below `first` was trimmed: the
    events between are gone, which the caller sees by comparing. No such stream: first 1, last 0."""

    events: Sequence[EventImage]
    first: int
    last: int


# --------------------------------------------------------------------------------------------------
# House-keeping


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long after its end a thing is kept, as durations; None = for ever."""

    completed: int | None = None
    cancelled: int | None = None
    dead: int | None = None
    tombstones: int | None = 24 * 3600 * 1000
    commits: int | None = 24 * 3600 * 1000


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """How many were turned or removed. `more` says that the limit ended the sweep."""

    records_expired: int = 0
    tombstones_removed: int = 0
    tasks_promoted: int = 0
    leases_expired: int = 0
    tasks_removed: int = 0
    commits_removed: int = 0
    more: bool = False


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """`states` lacks states that no task is in. `oldest_ready_at`: the lowest due_at among ready and
    overdue scheduled tasks. `leases_over`: leases whose time is over, and that no claim or sweep has taken
    away yet."""

    paused: bool
    states: dict[TaskState, int]
    oldest_ready_at: int | None
    leases_over: int


class GroupStats(msgspec.Struct, frozen=True, kw_only=True):
    """`lag`: events not handed out yet. `oldest_at`: instant of the oldest event that is not finished, if
    any."""

    position: int
    lag: int
    pending: int
    dead: int
    oldest_at: int | None


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of this driver to one server: `in_use` and `idle` ones, at most `most` together, and how
    many calls are `waiting` for one."""

    in_use: int
    idle: int
    most: int
    waiting: int


class MemoryStats(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a server that keeps its data in memory: `used`, of at most `most` (None: it has no bound)."""

    used: int
    most: int | None


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Of a cache in front of the store. Of the single records that this driver was `asked` for, so many were
    `hits`; less than `target`, a share, is worth a look."""

    connected: bool
    asked: int
    hits: int
    target: float = 0.9

    @property
    def hit_ratio(self) -> float | None:
        """From 0 to 1; None if nothing was asked."""
        return self.hits / self.asked if self.asked else None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts at one instant; those of records may include expired ones that were not swept. `streams`:
    events in each; `groups`: by (stream, group). `backend` holds the backend's own facts for people
    (versions, settings), `pools` its connections by server, `memory` that of a server
    which keeps its data there, `cache` what is told of the one in front of it. `warnings` and `notes` are
    whole sentences: a note is worth knowing, but needs nobody's hand."""

    at: int
    records: dict[str, int]
    queues: dict[str, QueueStats]
    streams: dict[str, int]
    groups: dict[tuple[str, str], GroupStats]
    size_bytes: int | None
    backend: dict[str, str | int | float | bool | None]
    pools: dict[str, PoolStats] = {}
    memory: dict[str, MemoryStats] = {}
    cache: CacheStats | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was looked at for `hive-state doctor`; `mend` says what to do if it is not ok. `free`:
    bytes of room, where that is what was looked at."""

    name: str
    status: Literal["ok", "warn", "fail"]
    sentence: str
    mend: str | None = None
    free: int | None = None


class SchemaInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`found` is the version in the store (None: no hive-state schema), `wanted` ours; `steps` say in words
    what an upgrade would do, or did."""

    found: int | None
    wanted: int
    steps: tuple[str, ...] = ()


SchemaAction = Literal["inspect", "upgrade", "drop"]

# --------------------------------------------------------------------------------------------------
# The driver


class Driver(Protocol):
    """What every backend implements."""

    @property
    def features(self) -> Features:
        """Known before `open`, the same ever after. But if only the server can tell what a write survives,
        `durability` is the least until `open`."""
        ...

    @property
    def namespace(self) -> str: ...

    async def open(self) -> None:
        """Connect and check the schema. Called once.

        An embedded driver (`Sharing` below NETWORK) creates its schema in an empty store; two processes
        doing so at once must both succeed. A server's driver never changes the schema here. An older
        schema is upgraded or refused, a newer one is always refused.

        Raises: SchemaMismatch; Unavailable (cannot be reached); AccessDenied; ConfigError (not a place
        for a store). After an error nothing stays open.
        """
        ...

    async def close(self) -> None:
        """Give back everything: connections, threads, files. May be called twice, also after a failed `open`.

        Core: no call is under way any more.
        """
        ...

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        """inspect: say what is there. upgrade: create or upgrade, under a lock against a second one,
        resumable, idempotent. drop: remove every row of *this namespace* and nothing else. Works before
        `open` too."""
        ...

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        """The images of these entities, None where absent, all from one snapshot. `fresh` (here, in
        `scan` and in `stream`): linearizable, whatever the store's consistency level.

        Must: answer in the order of `refs`, doubles and kinds mixed; see every commit that was
        acknowledged to anybody before the call (at consistency LINEARIZABLE).
        """
        ...

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        """One page. Must: entities that are there during the whole iteration (page after page with
        `after` = `next`) appear exactly once, whatever happens around them."""
        ...

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        """One write trip, see above. One outcome for each batch.

        With Facility.OUTCOMES what is needed to give the reply again is stored under `trip_id` in the
        same transaction and kept for a day, or until it was heard, see `Forgetting` (for a claim: ids and
        tokens; tasks whose token changed since are left out). A trip that changed nothing stores nothing.
        """
        ...

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        """One write trip of claims. One result for each request; no task or event is handed to two of them.

        Tasks. First, in each queue asked for, paused or not, bounded to a few hundred, earliest first: leases
        that are over (lease_until <= at) are taken away (error LEASE_EXPIRED; -> cancelled if that was
        requested; dead if attempt >= max_attempts; else ready in the old place), and scheduled tasks whose
        due_at <= at become ready. Then each request takes ready tasks in the order priority (lower number
        first), due_at, order: -> leased, attempt + 1, token = version = a version of this trip, lease_until
        = at + lease (from now, not from the due instant). Nothing is handed out of a paused queue. A task
        whose requirements are not covered is not leased; tasks of other queues are not touched. Requests are
        served in their order.

        The token is never given out again for this task. Two tasks may have equal tokens. The images are
        those after the claim.

        Events. In a group: deliveries whose time is over, and nacked ones that are due, come first, in
        seq order, with a new token (dead instead, if max_deliveries are used up); then events with seq >
        position, which moves it. Events that were trimmed are skipped. If redeliveries alone reach the
        `limit`, what lies behind them is left as it is.

        `trip_id` as in `commit`.
        """
        ...

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        """The stored reply of a trip; None: it changed nothing, and never will (a driver must make sure
        of that before it answers: by waiting for the old transaction to end, or by a void written under
        `trip_id` that the trip would collide with).

        Only with Facility.OUTCOMES. A driver without it must always know how its trips ended.
        """
        ...

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        """Events by number, all from one snapshot. Facility.STREAMS."""
        ...

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        """Return as soon as something happened to one of the topics since the call (or a little before),
        naming which; or an empty set after `timeout` (duration), at the latest.

        A hint: it may be lost, late, doubled or wrong; nothing may depend on it. Topics: a record, or one
        of a collection, was written or removed; a task ended, or its cancellation was requested; a queue
        may have something to claim; a stream has grown. It must not wake before the commit is visible,
        and a driver may announce it outside the trip. May be cancelled at any time, and many waits are
        under way at once.
        """
        ...

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        """One bounded round of house-keeping, at most about `limit` rows, safe beside itself and
        everything else. A write trip of its own (steps 1 to 6): expired records become tombstones, old
        tombstones and commit memories go, leases that are over are taken away and due tasks promoted as
        in `claim`, tasks that ended longer ago than `retention` says are removed (never a live one, nor a
        parent of a task whose `unmet` is > 0). What ends in this sweep may be left to the next."""
        ...

    async def stats(self) -> Stats:
        """Cheap enough for every few seconds."""
        ...


LEASE_EXPIRED = "lease expired"
"""The error text of a task whose last lease ran out."""


class Missed(Enum):
    """What a cache says of a record that it has to be asked of the store."""

    MISSED = "missed"


MISSED = Missed.MISSED


@runtime_checkable
class Caching(Protocol):
    """Optional, for a driver with a cache. Core asks here for a single record, unless it is to be fresh:
    first `peek`, then `recall`, then `fetch`. What is told is what the store's consistency level allows, for
    each record by itself and from no common snapshot."""

    def peek(self, ref: RecordRef) -> RecordImage | Missed | None:
        """Synchronous: the record if it is at hand; None = go on; MISSED = go on with `fetch`."""
        ...

    async def recall(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | Missed | None]:
        """What the cache has, quickly; None = the record is absent. Raises nothing because of the cache."""
        ...

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | None]:
        """What `recall` missed, from the store."""
        ...

    def counts(self) -> tuple[int, int]:
        """Synchronous: for how many records it was asked so far, by any of these, and how many were hits."""
        ...


@runtime_checkable
class Forgetting(Protocol):
    """Optional, for a driver that keeps the replies of trips where room is dear."""

    def heard(self, trip_id: str) -> None:
        """Synchronous: the reply of this trip arrived, so its outcome is never asked for. What is kept of it
        may go."""
        ...


@runtime_checkable
class Examining(Protocol):
    """Optional, for `hive-state doctor`."""

    async def examine(self) -> Sequence[Finding]:
        """What of the backend's surroundings may go wrong: versions, rights, room, settings that durability
        hangs on. Works before `open` too, and leaves nothing open. Raises as `Driver.open` does."""
        ...


@runtime_checkable
class Warming(Protocol):
    """Optional, for a driver whose first calls take longer than those after them."""

    async def warm(self) -> None:
        """Do what the first calls would have to wait for: a hive may come here all at once. No image changes,
        and the store may be a standby. Called again, it does what is new. Raises as reads do."""
        ...


# --------------------------------------------------------------------------------------------------
# Replication port (Facility.REPLICATION)
#
# How a store is moved. The store being left captures what changes (control row, sinks, marks), and only
# *images* travel: each is loaded on the other side if it is newer than what is there. So order does not
# matter, repeating does no harm, and nothing has to be decided twice.

PEER = "peer"
"""The sink that stands for the store at the other end of a migration. While it is active nothing that was
deleted is forgotten, for a copy of it may still be on its way."""

CACHE = "cache"
"""The sink of a cache in front of the store. It is told of records only, and nothing is remembered as gone
for its sake."""

TERM_SHIFT = 43
TERM_MAX = VERSION_MAX >> TERM_SHIFT
"""version = (term << TERM_SHIFT) + counter, so there are 1023 terms."""


class ControlState(Enum):
    """What a write trip meets, and what `load` does."""

    OPEN = "open"  #: writes. `load` takes images of term 0 only: an import, which is older than everything
    SEALED = "sealed"  #: no writes for a moment, reads go on; a write raises `Sealed`, and so does `load`
    MOVED = "moved"  #: the hive lives in `peer`; a write raises `StoreMoved`; `load` keeps the way back
    STANDBY = "standby"  #: it never was the hive; a write raises `NotPrimary`; `load` fills it


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The one row that says who may write here, read inside every write trip.

    store_id  made with the namespace, never changed
    peer      name (or URL without password) of the store at the other end, for people and their config
    term      grows at every seal, un-seal and move of authority
    epoch     grows at every change of this row
    sinks     the active consumers of marks
    version   no version in the store is higher, loaded ones included, whatever trip gave it
    """

    store_id: str
    peer: str | None
    state: ControlState
    term: int
    epoch: int
    sinks: frozenset[str]
    version: int = 0


class Mark(msgspec.Struct, frozen=True, gc=False):
    """It says that the image of `ref` still has to reach `sink`. At most one per sink and entity, with the
    newest version; of the sink `CACHE` a driver may keep older ones too, and tells the newest. The mark of a
    stream stands for its events too: those above the target's `last` are sent first, then the StreamImage,
    which also trims."""

    sink: str
    ref: EntityRef
    version: int


class Digest(msgspec.Struct, frozen=True, gc=False):
    """Over a range of images: how many, and the sum modulo 2**52 of `images.hash_of` each."""

    count: int
    sum: int


Kind = Literal["record", "task", "queue", "event", "stream", "pending", "group", "commit"]

KINDS: tuple[Kind, ...] = ("record", "task", "queue", "event", "stream", "pending", "group", "commit")
"""In the order in which a copy is made: events before the stream that says that they are there."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A range of one kind, for `export` and `digest`: after < key < stop, in the order of the keys.

    A key is whole, and ordered part by part: (collection, key), (id,), (queue,), (stream, seq), (stream,),
    (stream, group, seq), (stream, group), (id,); see `images.key_of`. None: from the lowest, to the highest.

    below  only images of a lower version. A copy of a store in use leaves out what is written from its
           start on, which is marked: `Control.version` + 1, as told by the change that made the sink active
    """

    kind: Kind
    after: tuple[str | int, ...] | None = None
    stop: tuple[str | int, ...] | None = None
    below: int | None = None
    limit: int = 1000


Notes = Mapping[str, bytes | None]
"""New values by name; None = removed."""

NO_NOTES: Notes = MappingProxyType({})


class Loading(Protocol):
    """What a store offers to be filled while it is in use (Facility.IMPORT).

    A driver without Facility.REPLICATION does this for images of records, tasks, events and streams, takes no
    notes, and raises Unsupported for anything else.
    """

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        """Current images in the order of `refs`, from one snapshot: tombstones, Gones, expired records and
        dropped streams included; None = no trace of it."""
        ...

    async def export(self, span: Span) -> Sequence[Image]:
        """Up to `limit` images, tombstones of records included, but no Gone, from one snapshot. Fewer (at
        least one) if their values pass `limits.REPLY_BYTES`; empty: there is nothing more."""
        ...

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        """Write each image whose version is higher than that of what is there (a tombstone or Gone counts),
        exactly as it is; how many were written. The notes are written in the same transaction.

        Decides nothing: no child is released, no dedupe key is refused, no clock is read. A Gone leaves a
        Gone, whether or not the entity was there. An event is written if it is not there, and not below the
        `first` of its stream. Of two live tasks that hold one dedupe key, as may be until both are current,
        that of the higher version has it. Instants, task orders and stream numbers of the store go on above
        all that was loaded.

        An open store's clock and numbers are its own: the instants of an import do not move its clock, and
        no event is added to a stream that a trip of the store has written to.

        expect  the control row as it was when it was decided to load here. Then nothing is written unless
                the store still has that id and epoch: who slept meanwhile may hold images of what has ended

        Raises: Sealed; Conflict in an open store for an image above term 0, and for another row.
        """
        ...


class Replication(Loading, Protocol):
    """What a store offers to be moved.

    Capture. Every write trip of `Driver`, `sweep` included, also writes, for each entity it changed and each
    active sink that wants it (`CACHE` wants records only), a mark with the entity's new version, in the same
    transaction. So a process that runs yesterday's configuration captures too. An image changes only
    together with its version: what changes the counts of a group changes the group.

    Deleting. While a sink but `CACHE` is active, a deleted entity that is no record leaves a `Gone`, whose
    version is that of the trip. A sweep removes tombstones and Gones only if `PEER` is not active and no sink
    has a mark of them.

    Beside its entities a store keeps *notes*: small values for those who move it (a copier's cursor, a job).
    They can be written in any state, and are never marked, exported or digested.
    """

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        """Read the row (no arguments), or change it if its epoch is `expect`; the row as it is then.

        `store_id`, `epoch` and `version` of `change` are not looked at: epoch becomes expect + 1. What is
        allowed says `control.changed`, which every driver calls under the fence. A sink that is taken away
        loses its marks; one that is added begins without.

        Must: a change takes the write fence exclusively and returns only when no transaction that saw the
        old row is open. `version` is read under that fence: what is written later has a higher one.

        Raises: Conflict (another epoch, or the store is not as the change needs it), InvalidArgument.
        """
        ...

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        """Marks of a sink, lowest version first."""
        ...

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        """Remove those marks whose version is still the one given; how many."""
        ...

    async def digest(self, span: Span) -> Digest:
        """Over all that `export` would give, page after page, whatever the span's limit."""
        ...

    async def notes(self) -> Mapping[str, bytes]:
        """All of them."""
        ...

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        """Write all the notes if each of `expect` is as given (None = absent); whether it was done."""
        ...


@runtime_checkable
class Settling(Protocol):
    """Optional, beside `Replication`: marks are taken away by the trips that left them. Who made a trip, and
    has told the cache of all records that it wrote, need not read its marks."""

    async def settle(self, versions: Sequence[int]) -> None:
        """Remove those marks of `CACHE` that have one of these versions, each that of a whole trip. A record
        that earlier trips wrote too may stay marked with the version of one of them."""
        ...


ImageRow = Sequence[Any]
"""An image as a plain row, see `image_rows`."""


@runtime_checkable
class Pouring(Protocol):
    """Optional, beside `Replication`: images as rows, so that a copy from one store into another need not
    make an image of each. Both have to offer it. Only of the kinds that have rows: records, tasks, events.
    """

    async def rows(self, span: Span) -> Sequence[ImageRow]:
        """As `export`, but a row of each."""
        ...

    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        """As `load` of the images of these rows, which are in the order of their keys. It is meant for a
        standby that does not hold them yet, and may be no faster elsewhere."""
        ...


@runtime_checkable
class Foreign(Protocol):
    """Optional, beside `Replication`: a source that is written to by a program which knows nothing of
    hive-state. Core never commits there; a live migration begins and ends with these."""

    async def follow(self) -> None:
        """From now on what that program writes is captured, and refused while the store is not open. May be
        called again. Raises Conflict if the data cannot be taken as they are."""
        ...

    async def leave(self) -> None:
        """Take away all that `follow` put there; closes the driver. Raises Conflict unless the store is open:
        the hive would be lost."""
        ...
