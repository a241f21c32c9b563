"""What a store holds: the names of its entities (refs) and full copies of them (images).

These are the words that core and drivers exchange. What a user sees (decoded values, aware datetimes)
is built from them by the facets.

Conventions, here and in `spi.py`:

- an *instant* is an int, whole milliseconds since 1970-01-01T00:00Z, read from the store's own clock;
- a *duration* is an int of milliseconds;
- a *version* is an int, 1 <= version < 2**53; 0 stands for "absent";
- a *value* is opaque bytes, never parsed by a driver. `raw` travels with it: False = the bytes are
  canonical JSON text in UTF-8 (any Unicode, so `\\u0000` occurs), True = the user's own bytes;
- strings have been validated by core: not empty, UTF-8 encodable, without NUL, within `limits`. All
  order between strings is the byte order of their UTF-8.
"""

from __future__ import annotations

from enum import Enum

import msgspec

Scalar = str | int | float | bool | None
Index = tuple[tuple[str, Scalar], ...]
"""Index entries (field, value) of a record. A field that occurs several times has several values."""


class RecordRef(msgspec.Struct, frozen=True, gc=False):
    collection: str
    key: str


class TaskRef(msgspec.Struct, frozen=True, gc=False):
    id: str


class QueueRef(msgspec.Struct, frozen=True, gc=False):
    queue: str


class DedupeRef(msgspec.Struct, frozen=True, gc=False):
    """Not an entity of its own: the place in a queue that at most one live task may take."""

    queue: str
    key: str


class StreamRef(msgspec.Struct, frozen=True, gc=False):
    stream: str


class GroupRef(msgspec.Struct, frozen=True, gc=False):
    stream: str
    group: str


class CommitRef(msgspec.Struct, frozen=True, gc=False):
    """The memory of a commit that carried a `commit_id`."""

    id: str


class CollectionRef(msgspec.Struct, frozen=True, gc=False):
    """A topic to wait for, no entity."""

    collection: str


class PendingRef(msgspec.Struct, frozen=True, gc=False):
    stream: str
    group: str
    seq: int


Ref = RecordRef | TaskRef | QueueRef | DedupeRef | StreamRef | GroupRef | PendingRef | CommitRef
EntityRef = RecordRef | TaskRef | QueueRef | StreamRef | GroupRef | PendingRef | CommitRef
"""What has an image of its own that the replication port marks and fetches."""
ReadRef = RecordRef | TaskRef | QueueRef | StreamRef | GroupRef
Topic = RecordRef | CollectionRef | TaskRef | QueueRef | StreamRef


class RecordImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`value` is None for a tombstone (seen by the replication port only).

    A record is *present* at an instant t if it is no tombstone and `expires_at` is None or > t.
    `created_at` and `created_version` are those of the write that made it present, `updated_at` and
    `version` those of the last write (Touch is one).
    """

    ref: RecordRef
    version: int
    created_version: int
    value: bytes | None
    raw: bool
    index: Index
    created_at: int
    updated_at: int
    expires_at: int | None


class TaskState(Enum):
    """`waiting` for parents; `scheduled` for its due instant; `ready`; `leased`; and three ends."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    READY = "ready"
    LEASED = "leased"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"


LIVE = frozenset({TaskState.WAITING, TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED})
"""The states in which a task still wants to be done. Only live tasks hold their dedupe key."""


class TaskImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task. `requires` is sorted and without doubles; `parents` are the tasks it depends on.

    order        place among tasks of the same queue, priority and due instant; given once, at enqueue
    due_at       not claimable before; for a task enqueued without delay, the instant of the enqueue
    attempt      how often it was claimed, less the claims that were released; 0 at first
    token        the current lease's token; 0 unless `leased`
    unmet        how many parents are not completed yet
    error        text of the last failure, None if there was none
    result       value given by Complete, None before
    finished_at  instant of the transition into completed, cancelled or dead; None in a live task
    """

    ref: TaskRef
    version: int
    queue: str
    state: TaskState
    priority: int
    order: int
    due_at: int
    payload: bytes
    raw: bool
    dedupe_key: str | None
    requires: tuple[str, ...]
    parents: tuple[str, ...]
    unmet: int
    attempt: int
    max_attempts: int
    token: int
    lease_until: int | None
    worker: str | None
    cancel_requested: bool
    error: str | None
    result: bytes | None
    result_raw: bool
    created_at: int
    updated_at: int
    finished_at: int | None


class QueueImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Queues need no creation; a queue that was never paused reads as None."""

    ref: QueueRef
    version: int
    paused: bool


class EventImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`seq` is 1, 2, 3, ... in each stream, without a gap, in commit order, never used twice."""

    stream: str
    seq: int
    version: int
    body: bytes
    raw: bool
    at: int


class StreamImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Events with first <= seq <= last are there; `first` = last + 1 in an empty stream.

    A dropped stream keeps `last` (numbers are never used twice) and has `dropped` set until the next Append.
    """

    ref: StreamRef
    version: int
    first: int
    last: int
    dropped: bool


class PendingImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event handed to a group and not acked. `token` is 0 while it waits to be handed out again, or is
    `dead`: its deliveries are used up. `until`: end of the lease, or due instant of the next delivery; of a
    dead one, as it was before."""

    ref: PendingRef
    version: int
    token: int
    deliveries: int
    consumer: str
    until: int
    dead: bool
    error: str | None


class GroupImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`position` is the highest seq handed out so far; everything at or below it is acked, pending or
    dead."""

    ref: GroupRef
    version: int
    position: int
    max_deliveries: int
    pending: int
    dead: int


class CommitImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A remembered commit: `fingerprint` of the batch, and its outcome as `outcomes.dump` encodes it."""

    ref: CommitRef
    version: int
    fingerprint: bytes
    results: bytes
    at: int


class Gone(msgspec.Struct, frozen=True, gc=False):
    """The tombstone of any entity but a record, seen by the replication port only."""

    ref: EntityRef
    version: int


Image = (
    RecordImage
    | TaskImage
    | QueueImage
    | EventImage
    | StreamImage
    | GroupImage
    | PendingImage
    | CommitImage
    | Gone
)
