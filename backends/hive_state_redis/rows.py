"""What lies in the store, as images. The scripts write it, see `lua/`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from hive_state_core.errors import CorruptData
from hive_state_core.index_text import index_value
from hive_state_core.model import (
    CommitImage,
    CommitRef,
    EventImage,
    GroupImage,
    GroupRef,
    Index,
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
from hive_state_core.spi import Delivery

RECORD = struct.Struct("<qqqqqBI")
EVENT = struct.Struct("<qqB")
COMMIT = struct.Struct("<qqI")
RAW, DEAD, EXPIRES = 1, 2, 4
STATES = (None, *TaskState)
"""By their number in the store, from 1."""


NEVER = -(2**53)
"""Instead of an instant of a task."""


class Task(NamedTuple):
    """The fields of a task, in the order in which the scripts know them; see `lua/tasks.lua`."""

    version: int
    updated_at: int
    token: int
    lease_until: int
    finished_at: int
    attempt: int
    cancel_requested: bool
    result_raw: bool
    state: int
    worker: str | None
    queue: str
    dedupe_key: str | None
    priority: int
    order: int
    due_at: int
    lane: str
    parents: tuple[str, ...]
    unmet: int
    max_attempts: int
    error: str | None
    created_at: int
    raw: bool


_load_task = msgspec.msgpack.Decoder(Task).decode
_load_index = msgspec.msgpack.Decoder(list[str]).decode
_load_queue = msgspec.msgpack.Decoder(tuple[int, bool]).decode
_load_stream = msgspec.msgpack.Decoder(tuple[int, int, int, bool]).decode
_load_group = msgspec.msgpack.Decoder(tuple[int, int, int, int, int]).decode
_load_pending = msgspec.msgpack.Decoder(tuple[int, int, int, str, int, bool, str | None]).decode
_load_delivery = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, int, bool]).decode


def record_image(ref: RecordRef, data: bytes) -> RecordImage:
    """A tombstone too. Raises CorruptData."""
    try:
        version, created, created_at, updated_at, expires_at, flags, size = RECORD.unpack_from(data)
    except struct.error as error:
        raise CorruptData("a stored record cannot be decoded", raw=data) from error
    start = RECORD.size + size
    return RecordImage(
        ref=ref,
        version=version,
        created_version=created,
        value=None if flags & DEAD else data[start:],
        raw=bool(flags & RAW),
        index=load_index(data[RECORD.size : start]) if size else (),
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at if flags & EXPIRES else None,
    )


def load_index(data: bytes) -> Index:
    """What `encoding.dump_index` wrote."""
    flat = _load_index(data)
    return tuple([(field, index_value(text)) for field, text in zip(flat[::2], flat[1::2], strict=True)])


def present(record: RecordImage, at: int) -> RecordImage | None:
    """The record, unless it is a tombstone or expired."""
    if record.value is None or (record.expires_at is not None and record.expires_at <= at):
        return None
    return record


def task_image(id: str, fields: bytes, payload: bytes, result: bytes | None = None) -> TaskImage:
    row = _load_task(fields)
    return TaskImage(
        ref=TaskRef(id),
        version=row.version,
        queue=row.queue,
        state=STATES[row.state],
        priority=row.priority,
        order=row.order,
        due_at=row.due_at,
        payload=payload,
        raw=row.raw,
        dedupe_key=row.dedupe_key,
        requires=tuple(row.lane.split("\0")) if row.lane else (),
        parents=row.parents,
        unmet=row.unmet,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        token=row.token,
        lease_until=None if row.lease_until == NEVER else row.lease_until,
        worker=row.worker,
        cancel_requested=row.cancel_requested,
        error=row.error,
        result=result,
        result_raw=row.result_raw,
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=None if row.finished_at == NEVER else row.finished_at,
    )


def queue_image(ref: QueueRef, data: bytes) -> QueueImage:
    version, paused = _load_queue(data)
    return QueueImage(ref=ref, version=version, paused=paused)


def stream_image(ref: StreamRef, data: bytes) -> StreamImage:
    version, first, last, dropped = _load_stream(data)
    return StreamImage(ref=ref, version=version, first=first, last=last, dropped=dropped)


def group_image(ref: GroupRef, data: bytes) -> GroupImage:
    version, position, most, pending, dead = _load_group(data)
    return GroupImage(
        ref=ref, version=version, position=position, max_deliveries=most, pending=pending, dead=dead
    )


def pending_image(ref: PendingRef, data: bytes) -> PendingImage:
    version, token, deliveries, consumer, until, dead, error = _load_pending(data)
    return PendingImage(
        ref=ref,
        version=version,
        token=token,
        deliveries=deliveries,
        consumer=consumer,
        until=until,
        dead=dead,
        error=error,
    )


def event_image(stream: str, entry: Sequence[Any]) -> EventImage:
    """Of an entry of a Redis stream: [id, [name, value, ...]]."""
    id, (_, fixed, _, body) = entry
    version, at, raw = EVENT.unpack(fixed)
    return EventImage(
        stream=stream, seq=int(id.partition(b"-")[0]), version=version, body=body, raw=bool(raw), at=at
    )


def commit_image(ref: CommitRef, data: bytes) -> CommitImage:
    version, at, size = COMMIT.unpack_from(data)
    start = COMMIT.size + size
    return CommitImage(
        ref=ref, version=version, fingerprint=data[COMMIT.size : start], results=data[start:], at=at
    )


def delivery(stream: str, fields: bytes, body: bytes) -> Delivery:
    """Of a claim."""
    seq, token, deliveries, until, version, at, raw = _load_delivery(fields)
    event = EventImage(stream=stream, seq=seq, version=version, body=body, raw=raw, at=at)
    return Delivery(event, token, deliveries, until)
