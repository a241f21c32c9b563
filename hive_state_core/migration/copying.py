"""Images from one store into another, page by page. The next page is read while the last one is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from hive_state_core.images import key_of
from hive_state_core.migration.job import Cursor, marked
from hive_state_core.spi import KINDS, Kind, Replication, Span

Tell = Callable[[Kind, int], None]
"""Is told of every page: the kind, and how many images of it were copied so far."""


async def copy(
    source: Replication, target: Replication, cursor: Cursor, batch: int, tell: Tell
) -> dict[Kind, int]:
    """How many of each kind were copied in all, what came before `cursor` included. The cursor is kept in
    the target, in the transaction of each page: a killed copy goes on where it was."""
    if cursor.done:
        return cursor.copied
    for kind in KINDS[KINDS.index(cursor.kind) :]:
        begun = cursor if kind == cursor.kind else Cursor(kind=kind, copied=cursor.copied)
        cursor = await _copy_kind(source, target, begun, batch, tell)
    await target.load((), marked(replace(cursor, done=True)))
    return cursor.copied


async def _copy_kind(
    source: Replication, target: Replication, cursor: Cursor, batch: int, tell: Tell
) -> Cursor:
    kind = cursor.kind
    reading = asyncio.ensure_future(source.export(Span(kind=kind, after=cursor.after, limit=batch)))
    try:
        while images := await reading:
            after = key_of(images[-1])
            reading = asyncio.ensure_future(source.export(Span(kind=kind, after=after, limit=batch)))
            copied = cursor.copied.get(kind, 0) + len(images)
            cursor = Cursor(kind=kind, after=after, copied={**cursor.copied, kind: copied})
            await target.load(images, marked(cursor))
            tell(kind, copied)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # the store may be closed next
    return cursor
