"""Images to rows of all columns of their tables."""

from __future__ import annotations

import msgspec

from hive_state_core import outcomes
from hive_state_core.index_text import dump_index
from hive_state_core.model import (
    CommitImage,
    EventImage,
    GroupImage,
    Image,
    PendingImage,
    QueueImage,
    RecordImage,
    StreamImage,
    TaskImage,
    TaskState,
)
from hive_state_core.spi import Committed, Kind, OpResult
from hive_state_postgres.rows import lane_of

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "record": (
        "ns",
        "collection",
        "key",
        "version",
        "created_version",
        "value",
        "raw",
        "index_fields",
        "created_at",
        "updated_at",
        "expires_at",
        "deleted_at",
    ),
    "task": (
        "ns",
        "id",
        "version",
        "queue",
        "state",
        "priority",
        "ord",
        "due_at",
        "payload",
        "raw",
        "dedupe_key",
        "lane",
        "requires",
        "parents",
        "unmet",
        "attempt",
        "max_attempts",
        "token",
        "lease_until",
        "worker",
        "cancel_requested",
        "error",
        "result",
        "result_raw",
        "created_at",
        "updated_at",
        "finished_at",
    ),
    "queue": ("ns", "queue", "version", "paused"),
    "event": ("ns", "stream", "seq", "version", "body", "raw", "at"),
    "stream": ("ns", "stream", "version", "first", "last", "dropped"),
    "pending": (
        "ns",
        "stream",
        "grp",
        "seq",
        "version",
        "token",
        "deliveries",
        "consumer",
        "until",
        "dead",
        "error",
    ),
    "group": ("ns", "stream", "grp", "version", "position", "max_deliveries"),
    "commit": ("ns", "id", "version", "fingerprint", "outcome", "at"),
}

Row = tuple[object, ...]
_dump = msgspec.json.Encoder().encode


def load_row(ns: int, image: Image) -> Row:
    """In the order of COLUMNS. Raises TypeError for a Gone, which has no table."""
    match image:
        case RecordImage():
            return _record_row(ns, image)
        case TaskImage():
            return _task_row(ns, image)
        case QueueImage():
            return ns, image.ref.queue, image.version, image.paused
        case EventImage():
            return ns, image.stream, image.seq, image.version, image.body, image.raw, image.at
        case StreamImage():
            return ns, image.ref.stream, image.version, image.first, image.last, image.dropped
        case PendingImage():
            ref = image.ref
            delivery = (image.version, image.token, image.deliveries, image.consumer, image.until)
            return (ns, ref.stream, ref.group, ref.seq, *delivery, image.dead, image.error)
        case GroupImage():
            group = image.ref
            return ns, group.stream, group.group, image.version, image.position, image.max_deliveries
        case CommitImage():
            outcome = dump_committed(outcomes.load(image.results))
            return ns, image.ref.id, image.version, image.fingerprint, outcome, image.at
    raise TypeError(f"not an image of a table: {type(image).__name__}")


def _record_row(ns: int, image: RecordImage) -> Row:
    return (
        ns,
        image.ref.collection,
        image.ref.key,
        image.version,
        image.created_version,
        image.value,
        image.raw,
        dump_index(image.index),
        image.created_at,
        image.updated_at,
        image.expires_at,
        image.updated_at if image.value is None else None,
    )


def _task_row(ns: int, task: TaskImage) -> Row:
    return (
        ns,
        task.ref.id,
        task.version,
        task.queue,
        task.state.value,
        task.priority,
        task.order,
        task.due_at,
        task.payload,
        task.raw,
        task.dedupe_key,
        lane_of(task.requires),
        task.requires,
        task.parents,
        task.unmet,
        task.attempt,
        task.max_attempts,
        task.token,
        task.lease_until,
        task.worker,
        task.cancel_requested,
        task.error,
        task.result,
        task.result_raw,
        task.created_at,
        task.updated_at,
        task.finished_at,
    )


def dump_committed(committed: Committed) -> str:
    """As the server's functions write it; `replies.load_committed` reads it."""
    results = [_to_wire(result) for result in committed.results]
    return _dump({"v": committed.version, "t": committed.at, "x": results}).decode()


def _to_wire(result: OpResult) -> object:
    if isinstance(result, TaskState):
        return {"state": result.value}
    return msgspec.structs.asdict(result) if isinstance(result, msgspec.Struct) else result
