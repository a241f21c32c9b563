"""Where everything lies: the tables of a namespace, and the entries that each image gives rise to.

A key is a tuple of strings and ints that begins with the name of its table. Its bytes are ordered as the
tuples of one table are: strings are UTF-8, ints are fixed-width hex, and NUL, which no string holds, stands
between them. The driver puts the namespace in front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from hive_state_core.errors import CorruptData
from hive_state_core.model import (
    LIVE,
    CommitImage,
    CommitRef,
    EntityRef,
    EventImage,
    GroupImage,
    GroupRef,
    PendingImage,
    PendingRef,
    QueueImage,
    QueueRef,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
    TaskState,
)

T = TypeVar("T")
Part = str | int

HEAD: Final = b"head"  #: the control entry, see `trip.Head`

# Images, by their names.
RECORD: Final = "record"  #: collection, key
TASK: Final = "task"  #: id
QUEUE: Final = "queue"  #: name; only those ever paused
COMMIT: Final = "commit"  #: commit id
STREAM: Final = "stream"  #: name; dropped ones too
EVENT: Final = "event"  #: stream, seq
GROUP: Final = "group"  #: stream, group
PENDING: Final = "pending"  #: stream, group, seq; dead ones too

# What is found by them. These entries hold no value unless it is said.
EXPIRY: Final = "expiry"  #: expires_at, collection, key: records that will expire
GRAVE: Final = "grave"  #: updated_at, collection, key: tombstones
READY: Final = "ready"  #: queue, priority, due_at, order, id: ready tasks in claim order
DUE: Final = "due"  #: queue, due_at, id: ready and scheduled tasks
ALARM: Final = "alarm"  #: queue, instant, id: scheduled tasks by due_at, leased ones by lease_until
ENDED: Final = "ended"  #: state, finished_at, id
DEDUPE: Final = "dedupe"  #: queue, dedupe key, id: the live task in that place
EDGE: Final = "edge"  #: parent, child: the child counts this parent in `unmet`
MEMORY: Final = "memory"  #: at, commit id
REDELIVER: Final = "redeliver"  #: stream, group, until, seq: deliveries that are not dead
COUNT: Final = "count"  #: "record", collection or "task", queue, state; holds how many there are

# What the replication port needs, see `capturing`.
MARK: Final = "mark"  #: sink, then the key of an image; holds the version of the mark
GONE: Final = "gone"  #: the key of an image that was removed; holds the version of its Gone
NOTE: Final = "note"  #: name; holds the note

_BIAS: Final = 2**62  # ints may be negative (a priority, an instant before 1970)


def join(*parts: Part) -> bytes:
    return b"\0".join(
        [part.encode() if isinstance(part, str) else b"%016x" % (part + _BIAS) for part in parts]
    )


def split(key: bytes) -> list[str]:
    """The parts as text; `number` reads those that are ints."""
    return key.decode().split("\0")


def number(part: str) -> int:
    return int(part, 16) - _BIAS


def after(key: bytes) -> bytes:
    """The lowest key behind this one."""
    return key + b"\0"


_REFS: Final[dict[str, Callable[..., EntityRef]]] = {
    RECORD: RecordRef,
    TASK: TaskRef,
    QUEUE: QueueRef,
    COMMIT: CommitRef,
    STREAM: StreamRef,
    GROUP: GroupRef,
    PENDING: lambda stream, group, seq: PendingRef(stream, group, number(seq)),
}


def ref_at(key: bytes) -> EntityRef | None:
    """The entity whose image lies at this key; None if none does."""
    table, *parts = split(key)
    return _REFS[table](*parts) if table in _REFS else None


def under(*parts: Part) -> tuple[bytes, bytes]:
    """The bounds (start, stop) of all keys that begin with these parts and go on."""
    prefix = join(*parts)
    return prefix + b"\0", prefix + b"\1"


def until(*parts: Part, instant: int) -> tuple[bytes, bytes]:
    """The bounds of the keys that begin with these parts, followed by an instant that is not later."""
    return under(*parts)[0], join(*parts, instant + 1)


def key_of(ref: EntityRef) -> bytes:
    """Where the image of an entity lies."""
    match ref:
        case RecordRef(collection, key):
            return join(RECORD, collection, key)
        case TaskRef(id):
            return join(TASK, id)
        case QueueRef(queue):
            return join(QUEUE, queue)
        case CommitRef(id):
            return join(COMMIT, id)
        case StreamRef(stream):
            return join(STREAM, stream)
        case GroupRef(stream, group):
            return join(GROUP, stream, group)
        case PendingRef(stream, group, seq):
            return join(PENDING, stream, group, seq)


encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
_decoders: dict[type, msgspec.msgpack.Decoder[object]] = {}


def decode(data: bytes, kind: type[T]) -> T:
    """Raises CorruptData."""
    decoder = _decoders.get(kind) or _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
    try:
        return decoder.decode(data)  # type: ignore[return-value]
    except msgspec.DecodeError as error:
        raise CorruptData(f"a stored {kind.__name__} cannot be decoded", raw=data) from error


Stored = (
    RecordImage | TaskImage | QueueImage | CommitImage | StreamImage | EventImage | GroupImage | PendingImage
)


_IMAGES: Final[dict[str, type[Stored]]] = {
    RECORD: RecordImage,
    TASK: TaskImage,
    QUEUE: QueueImage,
    COMMIT: CommitImage,
    STREAM: StreamImage,
    EVENT: EventImage,
    GROUP: GroupImage,
    PENDING: PendingImage,
}


def image_at(key: bytes, data: bytes) -> Stored:
    """The image that lies at this key."""
    return decode(data, _IMAGES[split(key)[0]])


def entries(image: Stored | None) -> dict[bytes, bytes]:
    """The image itself and every entry it is found by: what lies in the store because of it, and no more."""
    if image is None:
        return {}
    if isinstance(image, EventImage):
        return {join(EVENT, image.stream, image.seq): encode(image)}
    found = {key_of(image.ref): encode(image)}
    if isinstance(image, RecordImage):
        found.update(_found_by_record(image))
    elif isinstance(image, TaskImage):
        found.update(_found_by_task(image))
    elif isinstance(image, CommitImage):
        found[join(MEMORY, image.at, image.ref.id)] = b""
    elif isinstance(image, PendingImage) and not image.dead:
        ref = image.ref
        found[join(REDELIVER, ref.stream, ref.group, image.until, ref.seq)] = b""
    return found


def _found_by_record(record: RecordImage) -> dict[bytes, bytes]:
    name = (record.ref.collection, record.ref.key)
    if record.value is None:
        return {join(GRAVE, record.updated_at, *name): b""}
    if record.expires_at is not None:
        return {join(EXPIRY, record.expires_at, *name): b""}
    return {}


def _found_by_task(task: TaskImage) -> dict[bytes, bytes]:
    name, queue = task.ref.id, task.queue
    found: dict[bytes, bytes] = {}
    if task.state is TaskState.READY:
        found[join(READY, queue, task.priority, task.due_at, task.order, name)] = b""
        found[join(DUE, queue, task.due_at, name)] = b""
    elif task.state is TaskState.SCHEDULED:
        found[join(DUE, queue, task.due_at, name)] = b""
        found[join(ALARM, queue, task.due_at, name)] = b""
    elif task.lease_until is not None:
        found[join(ALARM, queue, task.lease_until, name)] = b""
    elif task.finished_at is not None:
        found[join(ENDED, task.state.value, task.finished_at, name)] = b""
    if task.dedupe_key is not None and task.state in LIVE:
        found[join(DEDUPE, queue, task.dedupe_key, name)] = b""
    return found


def tally(image: Stored | None) -> bytes | None:
    """The counter that this image counts in."""
    if isinstance(image, RecordImage) and image.value is not None:
        return join(COUNT, RECORD, image.ref.collection)
    if isinstance(image, TaskImage):
        return join(COUNT, TASK, image.queue, image.state.value)
    return None
