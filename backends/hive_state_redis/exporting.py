"""Images on their way out: single ones, and pages in the order of the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_state_core.images import key_of
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    CommitRef,
    EntityRef,
    Gone,
    GroupRef,
    Image,
    PendingRef,
    QueueImage,
    QueueRef,
    RecordRef,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import Kind, Span
from hive_state_redis import rows
from hive_state_redis.caller import Caller
from hive_state_redis.naming import parts_of

_encode = msgspec.msgpack.Encoder().encode


async def images(caller: Caller, refs: Sequence[EntityRef]) -> list[Image | None]:
    """In the order of `refs`, from one snapshot."""
    found = await caller.read("images", _encode([parts_of(ref) for ref in refs]))
    return [_image(ref, data) for ref, data in zip(refs, found, strict=True)]


def _image(ref: EntityRef, data: Any) -> Image | None:
    """`data`: of the entity, or the version of its Gone."""
    if data is None:
        return None
    if isinstance(data, int):
        return Gone(ref, data)
    match ref:
        case RecordRef():
            return rows.record_image(ref, data)
        case TaskRef():
            return rows.task_image(ref.id, *data)
        case QueueRef():
            return rows.queue_image(ref, data)
        case StreamRef():
            return rows.stream_image(ref, data)
        case GroupRef():
            return rows.group_image(ref, data)
        case PendingRef():
            return rows.pending_image(ref, data)
        case CommitRef():
            return rows.commit_image(ref, data)


async def export(caller: Caller, span: Span) -> list[Image]:
    """One page: up to `limit`, or until the values pass REPLY_BYTES."""
    if span.kind == "queue":
        return list(await _queues(caller, span))
    after = span.after
    while True:
        plan = _encode((span.kind, after, span.stop, span.limit))
        parts = await caller.read("export", plan, REPLY_BYTES)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        found = [_IMAGES[span.kind](name.decode().split("\0"), data) for name, data in pairs]
        wanted = [image for image in found if span.below is None or image.version < span.below]
        if wanted or not found:
            return wanted
        after = key_of(found[-1])


async def _queues(caller: Caller, span: Span) -> list[QueueImage]:
    """Those that were ever paused are few."""
    flat = await caller.link.call("HGETALL", caller.keys.queues, reads=True)
    stored = dict(zip(flat[::2], flat[1::2], strict=True))
    after, stop = (None if bound is None else str(bound[0]).encode() for bound in (span.after, span.stop))
    found = [
        rows.queue_image(QueueRef(name.decode()), stored[name])
        for name in sorted(stored)
        if (after is None or name > after) and (stop is None or name < stop)
    ]
    return [image for image in found if span.below is None or image.version < span.below][: span.limit]


_IMAGES: dict[Kind, Callable[[list[str], Any], Image]] = {
    "record": lambda name, data: rows.record_image(RecordRef(*name), data),
    "task": lambda name, data: rows.task_image(name[0], *data),
    "event": lambda name, data: rows.event_image(name[0], data),
    "stream": lambda name, data: rows.stream_image(StreamRef(*name), data),
    "pending": lambda name, data: rows.pending_image(PendingRef(name[0], name[1], int(name[2])), data),
    "group": lambda name, data: rows.group_image(GroupRef(*name), data),
    "commit": lambda name, data: rows.commit_image(CommitRef(*name), data),
}
"""Of a name and what lies there."""
