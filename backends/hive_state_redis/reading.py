"""`read` and `stream`: each one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupRef, QueueRef, ReadRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import Reply, ScanImage, StreamPage, StreamRead
from hive_state_redis import rows
from hive_state_redis.caller import Caller
from hive_state_redis.keys import load_head

_encode = msgspec.msgpack.Encoder().encode
_load_reply = msgspec.msgpack.Decoder(tuple[int, int]).decode


async def read(caller: Caller, refs: Sequence[ReadRef]) -> Reply[ScanImage | None]:
    """Images in the order of `refs`."""
    records = [ref for ref in refs if type(ref) is RecordRef]
    if len(records) == len(refs):
        return await _read_records(caller, records)
    names = [(_LETTERS[type(ref)], *msgspec.structs.astuple(ref)) for ref in refs]
    head, *found = await caller.read("read", _encode(names))
    epoch, at = _load_reply(head)
    pairs = zip(refs, found, strict=True)
    return Reply(epoch, at, [_image(ref, data, at) for ref, data in pairs])


async def _read_records(caller: Caller, refs: Sequence[RecordRef]) -> Reply[ScanImage | None]:
    """One MGET, and the server's clock, which is looked at before."""
    keys = caller.keys
    places = [keys.record(ref.collection, ref.key) for ref in refs]
    clock, (entry, *found) = await caller.link.many([("TIME",), ("MGET", keys.head, *places)], reads=True)
    head = load_head(entry)
    at = head.instant(clock)
    pairs = zip(refs, found, strict=True)
    return Reply(head.epoch, at, [None if data is None else _present(ref, data, at) for ref, data in pairs])


def _present(ref: RecordRef, data: bytes, at: int) -> ScanImage | None:
    return rows.present(rows.record_image(ref, data), at)


def _image(ref: ReadRef, data: Any, at: int) -> ScanImage | None:
    if data is None:
        return None
    match ref:
        case RecordRef():
            return _present(ref, data, at)
        case TaskRef():
            return rows.task_image(ref.id, *data)
        case QueueRef():
            return rows.queue_image(ref, data)
        case StreamRef():
            stream = rows.stream_image(ref, data)
            return None if stream.dropped else stream
        case GroupRef():
            return rows.group_image(ref, data)


_LETTERS: dict[type, str] = {RecordRef: "r", TaskRef: "t", QueueRef: "q", StreamRef: "s", GroupRef: "g"}


async def stream(caller: Caller, reads: Sequence[StreamRead]) -> Reply[StreamPage]:
    """Events by number, and the bounds of each stream."""
    wanted = [(read.ref.stream, read.start, read.limit, read.reverse) for read in reads]
    head, *parts = await caller.read("stream", _encode(wanted), REPLY_BYTES)
    epoch, at = _load_reply(head)
    pages = [
        StreamPage(
            tuple([rows.event_image(read.ref.stream, entry) for entry in entries]), *_load_reply(bounds)
        )
        for read, bounds, entries in zip(reads, parts[::2], parts[1::2], strict=True)
    ]
    return Reply(epoch, at, pages)
