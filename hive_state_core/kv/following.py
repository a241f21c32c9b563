"""Events by number.

An event never changes, and its number is never used again. So once the bounds of all streams were read in
one snapshot, the events between them may be read later: either they are all there, or one was trimmed
meanwhile, and it begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.kv.entities import Space
from hive_state_core.kv.keys import EVENT, HEAD, decode, join, key_of
from hive_state_core.kv.room import Room
from hive_state_core.kv.trip import read_head
from hive_state_core.model import EventImage, StreamImage
from hive_state_core.spi import Reply, StreamPage, StreamRead

_PAGE = 64


async def pages(space: Space, reads: Sequence[StreamRead], now: int) -> Reply[StreamPage] | None:
    """None: events were trimmed while they were read. Each read gets one event at least, if there is any."""
    found = await space.load([HEAD, *[key_of(read.ref) for read in reads]])
    head = read_head(found[0])
    room = Room()
    answers = []
    for read, data in zip(reads, found[1:], strict=True):
        first, last = _bounds(data)
        events = await _events(space, read, range(first, last + 1), room)
        if events is None:
            return None
        answers.append(StreamPage(tuple(events), first, last))
    return Reply(head.control.epoch, max(now, head.clock), answers)


def _bounds(data: bytes | None) -> tuple[int, int]:
    if data is None:
        return 1, 0
    stream = decode(data, StreamImage)
    return stream.first, stream.last


async def _events(space: Space, read: StreamRead, there: range, room: Room) -> list[EventImage] | None:
    """Up to `limit` of those that are there, as long as there is room."""
    wanted = _wanted(read, there)
    events: list[EventImage] = []
    while len(events) < len(wanted) and not (events and room.full):
        page = wanted[len(events) : len(events) + (1 if room.full else _PAGE)]
        low, high = min(page), max(page)
        start, stop = join(EVENT, read.ref.stream, low), join(EVENT, read.ref.stream, high + 1)
        rows = await space.range(start, stop, len(page), read.reverse)
        if len(rows) < len(page):
            return None
        for _, data in rows:
            if not (events and room.full):
                events.append(decode(data, EventImage))
                room.take(events[-1].body)
    return events


def _wanted(read: StreamRead, there: range) -> range:
    """The numbers in the order in which they are read."""
    if read.reverse:
        high = min(read.start, there.stop - 1)
        return range(high, max(there.start - 1, high - read.limit), -1)
    low = max(read.start, there.start)
    return range(low, min(there.stop, low + read.limit))
