"""Images on their way in, as arguments of the script `load`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_state_core.control import require_loadable, require_same
from hive_state_core.errors import Internal
from hive_state_core.images import instant_of
from hive_state_core.model import (
    CommitImage,
    EventImage,
    Gone,
    GroupImage,
    Image,
    PendingImage,
    QueueImage,
    RecordImage,
    StreamImage,
    TaskImage,
)
from hive_state_core.spi import Control, ControlState, Notes
from hive_state_redis.alike import lane_of, name_of
from hive_state_redis.caller import Caller
from hive_state_redis.controlling import placed
from hive_state_redis.encoding import dump_index
from hive_state_redis.naming import parts_of
from hive_state_redis.rows import STATES

_encode = msgspec.msgpack.Encoder().encode
_FIXED = 2
_NUMBERS = {state: number for number, state in enumerate(STATES)}


async def load(caller: Caller, images: Sequence[Image], notes: Notes, expect: Control | None) -> int:
    """How many were newer."""
    values: list[bytes] = []
    items = [_ITEMS[type(image)](image, values) for image in images]
    highest = max([image.version for image in images], default=0)
    order = max([image.order for image in images if isinstance(image, TaskImage)], default=0)
    clock = max(map(instant_of, images), default=0)
    wanted = () if expect is None else (expect.store_id, expect.epoch)
    plan = _encode((items, placed(notes, values, _FIXED)))
    reply = await caller.write("load", plan, _encode((highest, order, clock, *wanted)), *values)
    if isinstance(reply, int):
        return reply
    require_same(reply[2].decode(), reply[3], expect)
    require_loadable(ControlState(reply[1].decode()), highest)
    raise Internal("the server refused images that may be loaded")


def _value(value: bytes | None, values: list[bytes]) -> int | None:
    """Its place among the arguments."""
    if value is None:
        return None
    values.append(value)
    return _FIXED + len(values)


def _record(image: RecordImage, values: list[bytes]) -> tuple[Any, ...]:
    return (
        "record",
        name_of(image.ref),
        image.version,
        image.created_version,
        image.created_at,
        image.updated_at,
        image.expires_at,
        image.raw,
        image.value is None,
        _value(dump_index(image.index) if image.index else None, values),
        _value(image.value, values),
    )


def _task(image: TaskImage, values: list[bytes]) -> tuple[Any, ...]:
    fields = (
        image.version,
        image.updated_at,
        image.token,
        image.lease_until,
        image.finished_at,
        image.attempt,
        image.cancel_requested,
        image.result_raw,
        _NUMBERS[image.state],
        image.worker,
        image.queue,
        image.dedupe_key,
        image.priority,
        image.order,
        image.due_at,
        lane_of(image.requires),
        image.parents,
        image.unmet,
        image.max_attempts,
        image.error,
        image.created_at,
        image.raw,
    )
    return "task", image.ref.id, fields, _value(image.payload, values), _value(image.result, values)


def _queue(image: QueueImage, _: list[bytes]) -> tuple[Any, ...]:
    return "queue", image.ref.queue, (image.version, image.paused)


def _event(image: EventImage, values: list[bytes]) -> tuple[Any, ...]:
    body = _value(image.body, values)
    return "event", image.stream, image.seq, image.version, image.at, image.raw, body


def _stream(image: StreamImage, _: list[bytes]) -> tuple[Any, ...]:
    return "stream", image.ref.stream, (image.version, image.first, image.last, image.dropped)


def _group(image: GroupImage, _: list[bytes]) -> tuple[Any, ...]:
    counts = (image.version, image.position, image.max_deliveries, image.pending, image.dead)
    return "group", image.ref.stream, image.ref.group, counts


def _pending(image: PendingImage, _: list[bytes]) -> tuple[Any, ...]:
    fields = (
        image.version,
        image.token,
        image.deliveries,
        image.consumer,
        image.until,
        image.dead,
        image.error,
    )
    return "pending", image.ref.stream, image.ref.group, image.ref.seq, fields


def _commit(image: CommitImage, values: list[bytes]) -> tuple[Any, ...]:
    fingerprint, results = _value(image.fingerprint, values), _value(image.results, values)
    return "commit", image.ref.id, image.version, image.at, fingerprint, results


def _gone(image: Gone, _: list[bytes]) -> tuple[Any, ...]:
    return "gone", image.version, *parts_of(image.ref)


_ITEMS: dict[type, Callable[[Any, list[bytes]], tuple[Any, ...]]] = {
    RecordImage: _record,
    TaskImage: _task,
    QueueImage: _queue,
    EventImage: _event,
    StreamImage: _stream,
    GroupImage: _group,
    PendingImage: _pending,
    CommitImage: _commit,
    Gone: _gone,
}
"""An image as the script has it, see `lua/load.lua`."""
