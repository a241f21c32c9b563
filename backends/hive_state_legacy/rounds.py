"""Between the file of an original hive and the store beside it: what is written in the one, and came back in
the other.

Everything here is done inside a transaction of the file: nobody writes to it meanwhile, and no other process
does the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import msgspec

from hive_state_core.errors import Conflict
from hive_state_core.ids import AGENTS_COLLECTION
from hive_state_core.legacy_model import NOTES
from hive_state_core.model import RecordImage, TaskImage
from hive_state_core.spi import (
    NO_NOTES,
    TERM_SHIFT,
    Control,
    ControlState,
    Driver,
    Notes,
    Replication,
    Span,
)
from hive_state_legacy.changes import (
    Bringing,
    Keys,
    count_beside,
    count_in,
    event_pages,
    histories,
    images_of,
    is_open,
    keys_in,
    keys_of,
    refuse,
    rows_of,
    sweep,
)
from hive_state_legacy.file import Change, File
from hive_state_legacy.reader import Reader
from hive_state_legacy.source import KEYED
from hive_state_legacy.tables import CHECKPOINTS, SNAPSHOTS, Table
from hive_state_legacy.writing import Event, Held, Writing

OWN = "legacy/"
ROW, SEQ, OWED, POISON = f"{OWN}row", f"{OWN}seq", f"{OWN}owed", f"{OWN}poison"
"""Notes of our own in the store beside the file: the control row; the last change of the file that was
brought over; whether the tables have not got yet what came back; rows that could not be taken."""

PAGE = 100
"""Changes that are brought over at a time: the program whose file it is cannot write meanwhile."""
HELD = 1000
"""Events that are read at a time, to be written back."""

LAST = 2**62
"""More than any change has as its number."""


class Rounds:
    """Of one file. `reader` reads from it, on its thread; `driver` is that of the store beside it."""

    def __init__(self, file: File, reader: Reader, driver: Driver) -> None:
        self._file = file
        self._reader = reader
        self._driver = driver
        self._port = cast(Replication, driver)
        self._alone = asyncio.Lock()

    async def round(self, row: Control, *, all_keys: bool) -> None:
        """Bring over what was written, if the original hive is at work; and mend what a killed one left."""
        if await self.is_unsettled(row):
            await self.settle(row)
        if row.state is ControlState.OPEN:
            while await self.bring(row.term) and all_keys:
                pass
            if all_keys:
                await self._look_for_unseen(row.term)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Nobody else writes to the file meanwhile."""
        async with self._alone:
            try:
                await self._reader.run(self._file.begin)
                yield
            except BaseException:
                await asyncio.shield(self._reader.run(self._file.roll_back))
                raise
            await asyncio.shield(self._reader.run(self._file.commit))

    async def prepare(self, old: Control, new: Control) -> None:
        """Before a seal everything is brought over. Raises Conflict if something cannot be; or if something
        was written behind the seal, which no fence lets happen."""
        if new.state is ControlState.SEALED:
            while await self.bring(old.term):
                pass
            await self._look_for_unseen(old.term)
            await self._refuse_poison()
        elif new.state is ControlState.MOVED and await self.waiting():
            raise Conflict(f"something was written to {self._file.path} behind the seal", key="the file")

    async def bring(self, term: int) -> int:
        """How many changes were brought over."""
        changes = await self.waiting()
        if changes:
            last = changes[-1].seq
            await self._take(keys_of(changes), term, {SEQ: b"%d" % last})
            await self._reader.run(lambda: self._file.forget(last))
        return len(changes)

    async def waiting(self) -> list[Change]:
        after = int((await self._port.notes())[SEQ])
        return await self._reader.run(lambda: self._file.changes(after, PAGE))

    async def _look_for_unseen(self, term: int) -> None:
        """Bring over what no trigger has told. There is nothing to look for, however long the tables are,
        unless a REPLACE can delete rows unseen. Raises Conflict if there is no telling."""
        triggers = await self._reader.run(lambda: self._file.require_captured(self._reader.source.layout))
        if triggers.blind:
            await self._take(await self._swept(), term, NO_NOTES)

    async def _swept(self) -> Keys:
        """Keys that are in one place only, once everything was brought over that a trigger has told. Then
        nothing is in the file alone, so where there are as many, there are the same. To count them takes a
        moment, to compare them takes seconds, and nobody can write meanwhile."""
        source = self._reader.source
        there = await count_beside(self._driver)
        if there == await self._reader.run(lambda: {table: count_in(source, table) for table in KEYED}):
            return {}
        keys = await self._reader.run(lambda: {table: keys_in(source, table) for table in KEYED})
        return await sweep(self._port, keys)

    async def _take(self, keys: Keys, term: int, notes: Notes) -> None:
        if not keys:
            return
        last = max((await self._port.control()).version, term << TERM_SHIFT)
        bringing = Bringing(self._reader, self._file, self._port, last)
        images = await bringing.images(keys)
        found = {(item.row.table, item.row.rowid) for item in bringing.poison}
        known = await self._poison()
        await self._port.load(images, notes if found <= known else {**notes, **_noted(known | found)})

    async def _poison(self) -> set[tuple[str, int]]:
        """Rows that could not be taken when they were brought over, by whatever process."""
        return set(
            msgspec.json.decode((await self._port.notes()).get(POISON, b"[]"), type=list[tuple[str, int]])
        )

    async def _refuse_poison(self) -> None:
        """Those that still cannot be."""
        source, known = self._reader.source, await self._poison()
        items = await self._reader.run(lambda: [is_open(source, *name) for name in sorted(known)])
        refuse([item for item in items if item is not None], source)

    async def is_unsettled(self, row: Control) -> bool:
        """Whether the fence is not as the row says."""
        return await self._reader.run(self._file.fenced) is (row.state is ControlState.OPEN)

    async def settle(self, row: Control) -> None:
        """The fence as the row says; and what came back is in the tables, once they are free."""
        if row.state is not ControlState.OPEN:
            await self._reader.run(lambda: self._file.fence(self._reader.source.layout, _why(row)))
        elif await self.is_unsettled(row):
            held = await self._held() if OWED in await self._port.notes() else None
            await self._reader.run(lambda: self._free(held))

    def _free(self, held: Held | None) -> None:
        self._file.unfence()
        if held is not None:
            Writing(self._file, self._reader.source).write(held)
            self._file.forget(LAST)  # what we wrote ourselves; nobody else could

    async def _held(self) -> Held:
        images = [image async for image in images_of(self._port, Span(kind="record"))]
        records = [image for image in images if isinstance(image, RecordImage) and image.value is not None]
        notes = {image.ref.key: image for image in records if image.ref.collection == NOTES}
        tasks = [
            image async for image in images_of(self._port, Span(kind="task")) if isinstance(image, TaskImage)
        ]
        found = {table: [event async for event in self._events(table)] for table in (CHECKPOINTS, SNAPSHOTS)}
        agents = [image for image in records if image.ref.collection == AGENTS_COLLECTION]
        return Held(agents, [(task, notes.get(task.ref.id)) for task in tasks], found)

    async def _events(self, table: Table) -> AsyncIterator[Event]:
        async for head in histories(self._port, table):
            async for page in event_pages(self._port, head, HELD):
                for event, row in zip(
                    page, await self._reader.run(partial(rows_of, self._file, page)), strict=True
                ):
                    yield Event(event, row)


def _noted(poison: set[tuple[str, int]]) -> Notes:
    return {POISON: msgspec.json.encode(sorted(poison))}


def _why(row: Control) -> str:
    if row.state is ControlState.MOVED:
        return f"this hive has moved to {row.peer}; nothing can be written here any more"
    return "this hive is being moved; nothing can be written here for a moment"
