"""`scan`: one page of a kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hive_state_core.index_text import index_text
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupRef, PendingRef, QueueRef, RecordRef, StreamRef
from hive_state_core.spi import Page, Scan, ScanImage
from hive_state_redis import rows
from hive_state_redis.caller import Caller
from hive_state_redis.keys import load_head
from hive_state_redis.rows import STATES

_encode = msgspec.msgpack.Encoder().encode
_load_told = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


async def scan(caller: Caller, query: Scan) -> Page:
    """One page, or the count."""
    if query.kind in ("queue", "group"):
        return await _scan_hash(caller, query)
    told, last, *parts = await caller.read("scan", _plan(query), REPLY_BYTES)
    epoch, at, total = _load_told(told)
    if query.count:
        return Page(epoch, at, (), None, total)
    items = [_image(query, key.decode(), data) for key, data in zip(parts[::2], parts[1::2], strict=True)]
    return Page(epoch, at, items, last.decode() if last else None)


def _plan(query: Scan) -> bytes:
    """The bounds are those of Redis, for keys in byte order or by number."""
    states = None
    if query.states is not None:
        states = [number for number, state in enumerate(STATES) if state in query.states]
    low, high = _bounds(query)
    return _encode(
        (
            query.kind,
            query.within,
            query.group,
            low,
            high,
            query.reverse,
            [(field, index_text(value)) for field, value in query.where],
            states,
            query.dead,
            query.limit,
            query.count,
            query.values,
        )
    )


def _bounds(query: Scan) -> tuple[str, str]:
    """start <= key < stop, `after` included."""
    after = query.after
    if query.kind == "pending":
        low, high = "-inf", "+inf"
        if after is not None:
            low, high = (low, f"({after}") if query.reverse else (f"({after}", high)
        return low, high
    low = "-" if query.start is None else f"[{query.start}"
    high = "+" if query.stop is None else f"({query.stop}"
    if after is None:
        return low, high
    if query.reverse:
        return low, f"({after}" if query.stop is None or _is_below(after, query.stop) else high
    return (low if query.start is not None and _is_below(after, query.start) else f"({after}"), high


def _is_below(one: str, other: str) -> bool:
    return one.encode() < other.encode()


def _image(query: Scan, key: str, data: Any) -> ScanImage:
    within = query.within or ""
    match query.kind:
        case "record":
            return rows.record_image(RecordRef(within, key), data)
        case "task":
            return rows.task_image(key, *data)
        case "stream":
            return rows.stream_image(StreamRef(key), data)
        case _:
            return rows.pending_image(PendingRef(within, query.group or "", int(key)), data)


# -- queues that were paused, and the groups of a stream: few, in a hash


async def _scan_hash(caller: Caller, query: Scan) -> Page:
    keys = caller.keys
    place = keys.queues if query.kind == "queue" else keys.groups(query.within or "")
    clock, entry, pairs = await caller.link.many(
        [("TIME",), ("GET", keys.head), ("HGETALL", place)], reads=True
    )
    head = load_head(entry)
    at = head.instant(clock)
    found = {key.decode(): data for key, data in zip(pairs[::2], pairs[1::2], strict=True)}
    names = _within_bounds(found, query)
    if query.count:
        return Page(head.epoch, at, (), None, len(names))
    page = names[: query.limit]
    items: list[ScanImage] = [
        rows.queue_image(QueueRef(name), found[name])
        if query.kind == "queue"
        else rows.group_image(GroupRef(query.within or "", name), found[name])
        for name in page
    ]
    return Page(head.epoch, at, items, page[-1] if len(page) < len(names) else None)


def _within_bounds(names: Iterable[str], query: Scan) -> list[str]:
    """In the order of the scan, behind what was seen."""
    ordered = sorted(names, key=str.encode, reverse=query.reverse)
    seen = query.after
    return [
        name
        for name in ordered
        if (query.start is None or not _is_below(name, query.start))
        and (query.stop is None or _is_below(name, query.stop))
        and (seen is None or (_is_below(name, seen) if query.reverse else _is_below(seen, name)))
    ]
