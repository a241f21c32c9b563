"""Images from one store into another, page by page. The next page is read while the last one is written.

Two stores that both know rows hand those over, and no images are made of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from hive_state_core.image_rows import KEYS, row_key
from hive_state_core.images import Key, key_of
from hive_state_core.migration.failpoints import reached
from hive_state_core.migration.job import Cursor, marked
from hive_state_core.spi import KINDS, Control, Kind, Notes, Pouring, Replication, Span

Tell = Callable[[Kind, int], None]
"""Is told of every page: the kind, and how many images of it were copied so far."""


class Pace:
    """How fast it is copied: always at once, so many rows at a time. `Throttled` is slower."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    async def next(self) -> None:
        """Before each page; `batch` may be another one afterwards."""


async def copy(
    source: Replication,
    target: Replication,
    cursor: Cursor,
    pace: Pace,
    tell: Tell,
    *,
    expect: Control,
    below: int | None = None,
) -> dict[Kind, int]:
    """How many of each kind were copied in all, what came before `cursor` included. The cursor is kept in
    the target, in the transaction of each page: a killed copy goes on where it was.

    expect  the control row of the target, as it was before the cursor was read
    below   only what has a lower version: the rest is marked

    Raises Conflict if the target is another one by now.
    """
    if cursor.done:
        return cursor.copied
    for kind in KINDS[KINDS.index(cursor.kind) :]:
        begun = cursor if kind == cursor.kind else Cursor(kind=kind, copied=cursor.copied)
        way = _way(source, target, kind, expect)
        cursor = await _copy_kind(way, begun, pace, tell, below)
    await target.load((), marked(replace(cursor, done=True)), expect)
    await reached("copy: done")
    return cursor.copied


class _Way(NamedTuple):
    """How the images of a kind, or their rows, go from one store into the other."""

    read: Callable[[Span], Awaitable[Sequence[Any]]]
    key: Callable[[Any], Key]
    write: Callable[[Sequence[Any], Notes], Awaitable[int]]


def _way(source: Replication, target: Replication, kind: Kind, expect: Control) -> _Way:
    if kind in KEYS and isinstance(source, Pouring) and isinstance(target, Pouring):
        return _Way(source.rows, partial(row_key, kind), partial(target.pour, kind, expect=expect))
    return _Way(source.export, key_of, partial(target.load, expect=expect))


async def _copy_kind(way: _Way, cursor: Cursor, pace: Pace, tell: Tell, below: int | None) -> Cursor:
    span = Span(kind=cursor.kind, after=cursor.after, below=below, limit=pace.batch)
    reading = asyncio.ensure_future(way.read(span))
    try:
        while page := await reading:
            after = way.key(page[-1])
            await pace.next()
            span = replace(span, after=after, limit=pace.batch)
            reading = asyncio.ensure_future(way.read(span))
            await reached("copy: page read")
            copied = cursor.copied.get(span.kind, 0) + len(page)
            cursor = Cursor(kind=span.kind, after=after, copied={**cursor.copied, span.kind: copied})
            await way.write(page, marked(cursor))
            tell(span.kind, copied)
            await reached("copy: page loaded")
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # the store may be closed next
    return cursor
