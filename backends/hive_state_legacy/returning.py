"""What came back from the other store, written into the tables of the original hive again.

While the hive lives elsewhere the store beside the file has one sink more, BACK: what is loaded there is
marked, in the same transaction. So what is written back is what was marked, however long the tables are. Most
of it is written when a way back begins, page after page, behind the fence; the rest when the file is freed.

A mark is cleared after the file was committed. Whoever is killed in between leaves marks of rows that say the
same already, and those are not touched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from hive_state_core.checkpoints import PREFIX as CHECKPOINT
from hive_state_core.checkpoints import SNAPSHOTS as SNAPSHOT_STREAM
from hive_state_core.ids import AGENTS_COLLECTION
from hive_state_core.legacy_model import NOTES, note_ref
from hive_state_core.model import (
    EntityRef,
    EventImage,
    Image,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
)
from hive_state_core.spi import Mark, Notes, Replication, Span
from hive_state_legacy.changes import event_pages, images_of, rows_of
from hive_state_legacy.file import File
from hive_state_legacy.reader import Reader
from hive_state_legacy.tables import CHECKPOINTS, SNAPSHOTS, Table
from hive_state_legacy.writing import Changed, Event, History, Writing

BACK = "back"
"""The sink, in the store beside the file."""

TRIMMED = "legacy/trimmed"
"""A note there, of our own: the histories that have lost events and were not written back since, each with
the version of the image that told of it last."""

HELD = 1000
"""Events that are read at a time."""
LOOKED = 100
"""Newest events of a history that are looked at together."""
ALL = 2**31
"""More marks than there are."""


class Page(NamedTuple):
    """What was written back, to be cleared once that is committed. `trimmed`: the note as it was."""

    marks: Sequence[Mark]
    trimmed: bytes | None


class Returning:
    """Of one file, inside a transaction of it unless it is said. `port`: of the store beside the file."""

    def __init__(self, file: File, reader: Reader, port: Replication) -> None:
        self._file = file
        self._reader = reader
        self._port = port

    async def trimming(self, images: Iterable[Image]) -> Notes:
        """What is to be noted with the load of these: the histories that lose events by it."""
        loaded = {image.ref: image for image in images if not isinstance(image, EventImage)}
        refs = [ref for ref in loaded if isinstance(ref, StreamRef) and _table(ref) is not None]
        if not refs:
            return {}
        there = await self._port.images(refs)
        pairs = zip(refs, there, strict=True)
        lost = {ref.stream: loaded[ref].version for ref, old in pairs if _loses(old, loaded[ref])}
        known = _names((await self._port.notes()).get(TRIMMED))
        return {TRIMMED: msgspec.json.encode(known | lost)} if lost else {}

    async def write(self) -> None:
        """All that the tables do not say yet."""
        await self.write_page(ALL)

    async def write_page(self, limit: int) -> Page:
        """What was marked first."""
        marks = await self._port.marks(BACK, limit)
        trimmed = (await self._port.notes()).get(TRIMMED)
        changed = await self._changed([mark.ref for mark in marks], _names(trimmed))
        await self._reader.run(lambda: Writing(self._file, self._reader.source).write(changed))
        return Page(marks, trimmed)

    async def clear(self, page: Page) -> None:
        """After that was committed. What was loaded since stays marked."""
        if page.trimmed is not None:
            written = {mark.ref.stream for mark in page.marks if isinstance(mark.ref, StreamRef)}
            left = {name: version for name, version in _names(page.trimmed).items() if name not in written}
            note = msgspec.json.encode(left) if left else None
            await self._port.note({TRIMMED: note}, expect={TRIMMED: page.trimmed})
        await self._port.clear(BACK, page.marks)

    # --- what was marked

    async def _changed(self, refs: Sequence[EntityRef], trimmed: Container[str]) -> Changed:
        records = [ref for ref in refs if isinstance(ref, RecordRef)]
        agents = [ref for ref in records if ref.collection == AGENTS_COLLECTION]
        noted = [TaskRef(ref.key) for ref in records if ref.collection == NOTES]
        tasks = [*dict.fromkeys([*(ref for ref in refs if isinstance(ref, TaskRef)), *noted])]
        streams = [ref for ref in refs if isinstance(ref, StreamRef)]
        wanted: list[EntityRef] = [*agents, *tasks, *(note_ref(ref.id) for ref in tasks), *streams]
        there = dict(zip(wanted, await self._port.images(wanted), strict=True))
        return Changed(
            {ref.key: _record(there[ref]) for ref in agents},
            {ref.id: (_task(there[ref]), _record(there[note_ref(ref.id)])) for ref in tasks},
            [
                await self._history(table, ref, there[ref], whole=ref.stream in trimmed)
                for ref in streams
                if (table := _table(ref)) is not None
            ],
        )

    async def _history(self, table: Table, ref: StreamRef, head: Image | None, *, whole: bool) -> History:
        if not isinstance(head, StreamImage):
            return History(table, ref, (), whole)
        read = self._events(head) if whole else self._newest(table, head)
        return History(table, ref, [event async for event in read], whole)

    async def _newest(self, table: Table, head: StreamImage) -> AsyncIterator[Event]:
        """Those that came after the last one that is a row."""
        layout = self._reader.source.layout
        found, name, pages = layout.find(table), head.ref.stream, list[list[Event]]()
        stop = head.last + 1
        while found is not None and stop > head.first:
            start = max(head.first, stop - LOOKED)
            span = Span(kind="event", after=(name, start - 1), stop=(name, stop), limit=LOOKED)
            page = [event async for event in self._with_rows(span)]
            known = [event.row for event in page if event.row is not None]
            there = {*await self._reader.run(partial(layout.there, found, known))}
            after = max([at + 1 for at, event in enumerate(page) if event.row in there], default=0)
            pages.append(page[after:])
            stop = head.first if after else start
        for page in reversed(pages):
            for event in page:
                yield event

    async def _with_rows(self, span: Span) -> AsyncIterator[Event]:
        events = [event async for event in images_of(self._port, span) if isinstance(event, EventImage)]
        for event, row in zip(events, await self._rows(events), strict=True):
            yield Event(event, row)

    # --- events

    async def _events(self, head: StreamImage) -> AsyncIterator[Event]:
        """Of one history, oldest first."""
        async for page in event_pages(self._port, head, HELD):
            for event, row in zip(page, await self._rows(page), strict=True):
                yield Event(event, row)

    async def _rows(self, events: Sequence[EventImage]) -> list[int | None]:
        return await self._reader.run(partial(rows_of, self._file, events))


def _table(ref: StreamRef) -> Table | None:
    """The one that holds this history."""
    if ref == SNAPSHOT_STREAM:
        return SNAPSHOTS
    return CHECKPOINTS if ref.stream.startswith(CHECKPOINT) else None


def _loses(old: Image | None, new: Image) -> bool:
    """Whether a history that was there has fewer of its old events then."""
    if not isinstance(old, StreamImage):
        return False
    return not isinstance(new, StreamImage) or new.dropped or new.first != old.first


def _names(note: bytes | None) -> dict[str, int]:
    return {} if note is None else msgspec.json.decode(note, type=dict[str, int])


def _record(image: Image | None) -> RecordImage | None:
    return image if isinstance(image, RecordImage) and image.value is not None else None


def _task(image: Image | None) -> TaskImage | None:
    return image if isinstance(image, TaskImage) else None
