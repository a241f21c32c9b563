"""Rows to images and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.index_text import dump_index, load_index
from hive_state_core.model import (
    CommitImage,
    CommitRef,
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
from hive_state_core.spi import Append, Enqueue, Put

Row = Sequence[Any]

_dump = msgspec.json.Encoder().encode
load_names = msgspec.json.Decoder(tuple[str, ...]).decode
_STATES = {state.value: state for state in TaskState}


def record_image(collection: str, row: Row) -> RecordImage:
    """From a row of `records_read`."""
    _, key, version, created_version, value, raw, fields, created_at, updated_at, expires_at = row
    return RecordImage(
        ref=RecordRef(collection, key),
        version=version,
        created_version=created_version,
        value=value,
        raw=raw == 1,
        index=() if fields is None else load_index(fields),
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
    )


def task_image(row: Row) -> TaskImage:
    """From a row of `tasks_read` and its kin."""
    return TaskImage(
        ref=TaskRef(row[1]),
        version=row[2],
        queue=row[3],
        state=_STATES[row[4]],
        priority=row[5],
        order=row[6],
        due_at=row[7],
        payload=row[8],
        raw=row[9] == 1,
        dedupe_key=row[10],
        requires=load_names(row[11]) if row[11] else (),
        parents=load_names(row[12]) if row[12] else (),
        unmet=row[13],
        attempt=row[14],
        max_attempts=row[15],
        token=row[16],
        lease_until=row[17],
        worker=row[18],
        cancel_requested=row[19] == 1,
        error=row[20],
        result=row[21],
        result_raw=row[22] == 1,
        created_at=row[23],
        updated_at=row[24],
        finished_at=row[25],
    )


def event_image(stream: str, row: Row) -> EventImage:
    """From a row that begins with seq, version, body, raw, at."""
    return EventImage(stream=stream, seq=row[0], version=row[1], body=row[2], raw=row[3] == 1, at=row[4])


def stream_image(stream: str, row: Row) -> StreamImage:
    """From a row of `stream_read`."""
    return StreamImage(ref=StreamRef(stream), version=row[0], first=row[1], last=row[2], dropped=bool(row[3]))


def group_image(stream: str, row: Row) -> GroupImage:
    """From a row of `group_image`."""
    return GroupImage(
        ref=GroupRef(stream, row[0]),
        version=row[1],
        position=row[2],
        max_deliveries=row[3],
        pending=row[4],
        dead=row[5],
    )


def pending_image(group: GroupRef, row: Row) -> PendingImage:
    """From a row that begins with seq."""
    return PendingImage(
        ref=PendingRef(group.stream, group.group, row[0]),
        version=row[1],
        token=row[2],
        deliveries=row[3],
        consumer=row[4],
        until=row[5],
        dead=row[6] == 1,
        error=row[7],
    )


def queue_image(row: Row) -> QueueImage:
    """From queue, version, paused."""
    return QueueImage(ref=QueueRef(row[0]), version=row[1], paused=row[2] == 1)


def commit_image(row: Row) -> CommitImage:
    """From id, version, fingerprint, outcome, at."""
    return CommitImage(ref=CommitRef(row[0]), version=row[1], fingerprint=row[2], results=row[3], at=row[4])


def put_row(ns: int, op: Put, at: int, version: int, expires_at: int | None) -> Row:
    """For `record_put` and its kin."""
    ref = op.ref
    index = dump_index(op.index) if op.index else None
    return ns, ref.collection, ref.key, version, op.value, op.raw, index, at, expires_at


def append_row(ns: int, op: Append, seq: int, version: int, at: int) -> Row:
    """For `event_append`."""
    return ns, op.ref.stream, seq, version, op.body, op.raw, at


def task_head(ns: int, task: TaskImage) -> Row:
    """The columns of a task up to `unmet`, as every statement that writes them has them first."""
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
        dump_names(task.requires) if task.requires else "",
        dump_names(task.parents) if task.parents else None,
        task.unmet,
    )


def task_insert_row(ns: int, task: TaskImage) -> Row:
    """For `task_insert`."""
    return (*task_head(ns, task), task.max_attempts, task.created_at, task.updated_at)


def enqueue_row(ns: int, op: Enqueue, at: int, version: int, order: int) -> Row:
    """For `task_insert`, of a task without parents: the row of `transitions.enqueued` without the image."""
    return (
        ns,
        op.ref.id,
        version,
        op.queue,
        "scheduled" if op.delay else "ready",
        op.priority,
        order,
        at + op.delay,
        op.payload,
        op.raw,
        op.dedupe_key,
        dump_names(op.requires) if op.requires else "",
        None,
        0,
        op.max_attempts,
        at,
        at,
    )


def task_lease_row(ns: int, task: TaskImage) -> Row:
    """For `task_lease`."""
    return ns, task.ref.id, task.version, task.attempt, task.lease_until, task.worker, task.updated_at


def task_update_row(ns: int, task: TaskImage) -> Row:
    """For `task_update`."""
    return (
        ns,
        task.ref.id,
        task.version,
        task.state.value,
        task.due_at,
        task.attempt,
        task.token,
        task.lease_until,
        task.worker,
        task.cancel_requested,
        task.error,
        task.result,
        task.result_raw,
        task.updated_at,
        task.finished_at,
        task.unmet,
        task.priority,
    )


def dump_names(names: tuple[str, ...]) -> str:
    """A JSON list."""
    return _dump(names).decode()


def load_lane(lane: str) -> frozenset[str]:
    """What the tasks of a lane require."""
    return frozenset(load_names(lane)) if lane else frozenset()
