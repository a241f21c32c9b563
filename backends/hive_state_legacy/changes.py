"""What the original hive wrote, as images for the store beside its file, each newer than all before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

from msgspec.structs import replace

from hive_state_core.checkpoints import SNAPSHOTS as SNAPSHOT_STREAM
from hive_state_core.checkpoints import Checkpoint
from hive_state_core.errors import Conflict
from hive_state_core.ids import AGENTS_COLLECTION
from hive_state_core.images import key_of
from hive_state_core.legacy_model import QUEUE, note_ref
from hive_state_core.model import (
    EventImage,
    Gone,
    Image,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
)
from hive_state_core.spi import Driver, Replication, Scan, Span
from hive_state_legacy import mapping
from hive_state_legacy.file import Change, File
from hive_state_legacy.quarantine import Flaw, State
from hive_state_legacy.reader import Reader
from hive_state_legacy.reading import Fault
from hive_state_legacy.snapshot import Text
from hive_state_legacy.source import KEYED, Item, Source, flaw_of
from hive_state_legacy.tables import AGENTS, CHECKPOINTS, TASKS, Found, Row, Table

Keys = dict[tuple[str, Any], set[Any]]
"""(table, key) of rows that were written, in order, each with the names of the histories that it was in."""

LOOKED = 100
"""Events of a history that are looked at together."""


class Seen(NamedTuple):
    """A row that was written, as it is now; `row` None: it is not there any more."""

    found: Found
    key: Any
    row: Row | None
    item: Item | None


def keys_of(changes: Iterable[Change]) -> Keys:
    keys: Keys = {}
    for change in changes:
        keys.setdefault((change.table, change.key), set()).add(change.history)
    return keys


def look(source: Source, keys: Iterable[tuple[str, Any]]) -> list[Seen]:
    """On the thread of the source."""
    tables = {found.name: found for found in source.layout.tables}
    return [_seen(source, tables[table], key) for table, key in keys]


def _seen(source: Source, found: Found, key: Any) -> Seen:
    if found.table not in KEYED:
        rows = list(source.layout.rows(found, key))
        return Seen(found, key, rows[0] if rows else None, None)
    name = _text(key)
    rowids = source.layout.with_key(found, found.table.needed[0], key if name is None else name)
    if not rowids:
        return Seen(found, name, None, None)
    row = source.layout.row(found, rowids[0])
    several = len({*rowids} - source.waived(found)) > 1
    doubles = frozenset([row.cells[found.table.needed[0]]] if several else ())
    return Seen(found, name, row, source.reader(found, KEYED[found.table], doubles)(row))


def is_open(source: Source, table: str, rowid: int) -> Item | None:
    """The row of this number, if it cannot be taken and nobody has said what is to become of it."""
    found = {found.name: found for found in source.layout.tables}[table]
    if not source.layout.there(found, [rowid]):
        return None
    row = source.layout.row(found, rowid)
    if found.table in KEYED:
        item = _seen(source, found, row.cells[found.table.needed[0]]).item
    else:
        item = source.alone(found, row)
    return item if item is not None and item.state is State.OPEN else None


def _text(key: Any) -> str | None:
    """None for what cannot be a key: no entity has it, and the row is poison."""
    try:
        return key.decode() if isinstance(key, Text) else None
    except UnicodeDecodeError:
        return None


def refuse(poison: Sequence[Item], source: Source) -> None:
    """Raises Conflict if there is any."""
    if not poison:
        return
    name, flaw = poison[0].name, poison[0].flaw or Flaw("", "it cannot be read")
    raise Conflict(
        f"{len(poison)} rows of {source.options.path} cannot be taken as they are, the first is {name}"
        f" {flaw.column}: {flaw.reason}; mend them, or say in the URL what is to become of them, by"
        f" ?{flaw.rule or 'nan'}=... or ?waive={name} (`hive-state import-legacy --dry-run` names them all)",
        key=name,
    )


class Bringing:
    """Makes the images of some written rows.

    last    the highest version that was given so far
    poison  rows that cannot be taken
    """

    def __init__(self, reader: Reader, file: File, beside: Replication, last: int) -> None:
        self._reader = reader
        self._source = reader.source
        self._file = file
        self._beside = beside
        self.last = last
        self.poison: list[Item] = []
        self._heads: dict[str, StreamImage] = {}

    async def images(self, keys: Keys) -> list[Image]:
        images: list[Image] = []
        trimmed: dict[StreamRef, Found] = {}
        seen = await self._reader.run(lambda: look(self._source, keys))
        for each, histories in zip(seen, keys.values(), strict=True):
            if each.found.table in KEYED:
                images += self._keyed(each)
            elif each.row is not None:
                images += await self._event(each.row)
            else:
                trimmed |= dict.fromkeys(self._refs(each, histories), each.found)
        for ref, found in trimmed.items():
            await self._trim(ref, found)
        return [*images, *self._heads.values()]

    def _next(self) -> int:
        self.last += 1
        return self.last

    # --- agents and tasks

    def _keyed(self, seen: Seen) -> Iterator[Image]:
        if seen.item is None:
            if seen.key is not None:
                yield from self._removed(seen.found.table, seen.key)
            return
        if seen.item.state is State.OPEN:
            self.poison.append(seen.item)
        yield from seen.item.entry
        for image in seen.item.images:
            version = self._next()
            if isinstance(image, TaskImage):
                yield replace(image, version=version, token=version if image.token else 0)
            else:
                yield replace(image, version=version, created_version=version)

    def _removed(self, table: Table, key: str) -> Iterator[Image]:
        if table is AGENTS:
            yield self._tombstone(RecordRef(AGENTS_COLLECTION, key))
        else:
            yield Gone(TaskRef(key), self._next())
            yield self._tombstone(note_ref(key))

    def _tombstone(self, ref: RecordRef) -> RecordImage:
        made = mapping.record_image(ref, b"", self._source.taken_at, version=self._next())
        return replace(made, value=None)

    # --- histories

    async def _event(self, row: Row) -> list[Image]:
        """A row that was changed is one more event: no event ever changes."""
        reading = self._source.reading(row)
        named = row.table == CHECKPOINTS.name
        try:
            ref = mapping.checkpoint_stream(reading) if named else SNAPSHOT_STREAM
            head = await self._head(ref)
            seq = head.last + 1
            event = (
                mapping.checkpoint_event(reading, ref, seq) if named else mapping.snapshot_event(reading, seq)
            )
        except Fault as fault:
            item = self._source.spoiled(row, flaw_of(fault))
            if item.state is State.OPEN:
                self.poison.append(item)
            return list(item.entry)
        self._heads[ref.stream] = replace(head, version=self._next(), last=seq, dropped=False)
        return [replace(event, version=self._next())]

    async def _head(self, ref: StreamRef) -> StreamImage:
        if ref.stream not in self._heads:
            (found,) = await self._beside.images([ref])
            if isinstance(found, StreamImage):
                return found
            return StreamImage(ref=ref, version=0, first=1, last=0, dropped=False)
        return self._heads[ref.stream]

    def _refs(self, seen: Seen, names: set[Any]) -> Iterator[StreamRef]:
        """The histories that a row was in which is there no more."""
        if seen.found.table is not CHECKPOINTS:
            yield SNAPSHOT_STREAM
            return
        for name in names:
            row = Row(seen.found.name, seen.key, {CHECKPOINTS.needed[0]: name})
            with suppress(Fault):  # then it never was in one
                yield mapping.checkpoint_stream(self._source.reading(row))

    async def _trim(self, ref: StreamRef, found: Found) -> None:
        """Rows that were deleted at the beginning of a history are trimmed. One that was deleted further on
        stays until those before it are."""
        head = await self._head(ref)
        first = head.first
        async for page in event_pages(self._beside, head, LOOKED):
            rows = await self._reader.run(partial(rows_of, self._file, page))
            known = [row for row in rows if row is not None]
            there = await self._reader.run(partial(self._source.layout.there, found, known))
            gone = list(takewhile({*there}.isdisjoint, ([row] for row in rows)))
            first += len(gone)
            if len(gone) < len(page):
                break
        if first > head.first:
            self._heads[ref.stream] = replace(head, version=self._next(), first=first)


async def event_pages(beside: Replication, head: StreamImage, limit: int) -> AsyncIterator[list[EventImage]]:
    """The events of a history, oldest first."""
    name = head.ref.stream
    span = Span(kind="event", after=(name, head.first - 1), stop=(name, head.last + 1), limit=limit)
    while page := await beside.export(span):
        yield [event for event in page if isinstance(event, EventImage)]
        span = replace(span, after=key_of(page[-1]))


async def images_of(beside: Replication, span: Span) -> AsyncIterator[Image]:
    """All of them, page after page."""
    while page := await beside.export(span):
        for image in page:
            yield image
        span = replace(span, after=key_of(page[-1]))


def rows_of(file: File, events: Iterable[EventImage]) -> list[int | None]:
    """The number of the row that each event is, None if there never was one. On the thread of the file."""
    return [_row_of(file, event) for event in events]


def _row_of(file: File, event: EventImage) -> int | None:
    saved = Checkpoint(None, event.seq, event.at, event.body, event.raw)
    found = saved.metadata.get("legacy_id")
    return found if type(found) is int else file.written(event.stream, event.seq)


# --- what no trigger tells


async def count_beside(beside: Driver) -> dict[Table, int]:
    """How many agents and tasks of the original's queue there are, raw ones too."""
    queries = {
        AGENTS: Scan(kind="record", within=AGENTS_COLLECTION, count=True, limit=1),
        TASKS: Scan(kind="task", within=QUEUE, count=True, limit=1),
    }
    return {table: (await beside.scan(query)).total or 0 for table, query in queries.items()}


def count_in(source: Source, table: Table) -> int:
    """Rows that are to be taken. On the thread of the source."""
    found = source.layout.find(table)
    if found is None:
        return 0
    waived = source.waived(found)
    return source.layout.count(found) - len(source.layout.there(found, waived) if waived else ())


async def sweep(beside: Replication, keys_in: Mapping[Table, set[str]]) -> Keys:
    """Agents and tasks that are in one place only: of the file, or of the store beside it."""
    span = Span(kind="record", after=(AGENTS_COLLECTION, ""), stop=(AGENTS_COLLECTION + "\0", ""))
    agents = {
        image.ref.key
        async for image in images_of(beside, span)
        if isinstance(image, RecordImage) and image.value is not None
    }
    tasks = {
        image.ref.id
        async for image in images_of(beside, Span(kind="task"))
        if isinstance(image, TaskImage) and image.queue == QUEUE and not image.raw
    }
    return {
        (table.name, Text(key.encode())): set()
        for table, there in ((AGENTS, agents), (TASKS, tasks))
        for key in sorted(keys_in[table] ^ there)
    }


def keys_in(source: Source, table: Table) -> set[str]:
    """On the thread of the source."""
    found = source.layout.find(table)
    if found is None:
        return set()
    sql = f"SELECT {table.needed[0]} FROM {found.name}"
    keys = (_text(key) for (key,) in source.snapshot.rows(sql))
    return {key for key in keys if key is not None}
