"""Rows to images, and images' parts to what a row holds."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from hive_state_core.index_text import load_index
from hive_state_core.model import (
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
from hive_state_core.spi import Delivery

Row = Mapping[str, Any]

_dump = msgspec.json.Encoder().encode
STATES = {state.value: state for state in TaskState}


def record_image(ref: RecordRef, row: Row) -> RecordImage:
    fields = row["index_fields"]
    return RecordImage(
        ref=ref,
        version=row["version"],
        created_version=row["created_version"],
        value=row["value"],
        raw=row["raw"],
        index=() if fields is None else load_index(fields),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        expires_at=row["expires_at"],
    )


def task_image(row: Row, payload: str = "payload") -> TaskImage:
    """`payload`: the column that holds it."""
    return TaskImage(
        ref=TaskRef(row["id"]),
        version=row["version"],
        queue=row["queue"],
        state=STATES[row["state"]],
        priority=row["priority"],
        order=row["ord"],
        due_at=row["due_at"],
        payload=row[payload],
        raw=row["raw"],
        dedupe_key=row["dedupe_key"],
        requires=tuple(row["requires"]),
        parents=tuple(row["parents"]),
        unmet=row["unmet"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        token=row["token"],
        lease_until=row["lease_until"],
        worker=row["worker"],
        cancel_requested=row["cancel_requested"],
        error=row["error"],
        result=row["result"],
        result_raw=row["result_raw"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
    )


def queue_image(queue: str, version: int, paused: bool) -> QueueImage:
    return QueueImage(ref=QueueRef(queue), version=version, paused=paused)


def stream_image(stream: str, version: int, first: int, last: int) -> StreamImage:
    return StreamImage(ref=StreamRef(stream), version=version, first=first, last=last, dropped=False)


def group_image(ref: GroupRef, row: Row) -> GroupImage:
    return GroupImage(
        ref=ref,
        version=row["version"],
        position=row["position"],
        max_deliveries=row["max_deliveries"],
        pending=row["pending"],
        dead=row["dead"],
    )


def pending_image(ref: GroupRef, row: Row) -> PendingImage:
    return PendingImage(
        ref=PendingRef(ref.stream, ref.group, row["seq"]),
        version=row["version"],
        token=row["token"],
        deliveries=row["deliveries"],
        consumer=row["consumer"],
        until=row["until"],
        dead=row["dead"],
        error=row["error"],
    )


def event_image(stream: str, row: Row) -> EventImage:
    return EventImage(
        stream=stream,
        seq=row["seq"],
        version=row["version"],
        body=row["body"],
        raw=row["raw"],
        at=row["at"],
    )


def delivery(stream: str, row: Row) -> Delivery:
    """Of a claim, whose rows have the columns of tasks (see `sql/fn_claim.sql`)."""
    event = EventImage(
        stream=stream,
        seq=row["ord"],
        version=row["version"],
        body=row["payload"],
        raw=row["raw"],
        at=row["created_at"],
    )
    return Delivery(event, row["token"], row["attempt"], row["lease_until"])


def lane_of(requires: tuple[str, ...]) -> str:
    """Equal for tasks with equal requirements, and short enough for an index; '' for none."""
    return sha256(_dump(requires)).hexdigest()[:40] if requires else ""


def dump_names(names: tuple[str, ...]) -> str:
    """A JSON list; '' for none."""
    return _dump(names).decode() if names else ""
