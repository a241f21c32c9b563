"""Between the file of an original hive and the store beside it: what is written in the one, and came back in
the other.

Everything here is done inside a transaction of the file: nobody writes to it meanwhile, and no other process
does the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import msgspec
from msgspec.structs import replace

from hive_state_core.errors import Conflict
from hive_state_core.spi import (
    NO_NOTES,
    TERM_SHIFT,
    Control,
    ControlState,
    Driver,
    Notes,
    Replication,
)
from hive_state_legacy.changes import (
    Bringing,
    Keys,
    count_beside,
    count_in,
    is_open,
    keys_in,
    keys_of,
    refuse,
    sweep,
)
from hive_state_legacy.file import Change, File
from hive_state_legacy.reader import Reader
from hive_state_legacy.returning import BACK, TRIMMED, Page, Returning
from hive_state_legacy.source import KEYED

OWN = "legacy/"
ROW, SEQ, OWED, POISON = f"{OWN}row", f"{OWN}seq", f"{OWN}owed", f"{OWN}poison"
"""Notes of our own in the store beside the file: the control row; the last change of the file that was
brought over; whether the tables have not got yet what came back; rows that could not be taken."""

PAGE = 100
"""Changes that are brought over at a time: the program whose file it is cannot write meanwhile."""

LAST = 2**62
"""More than any change has as its number."""


class Rounds:
    """Of one file. `reader` reads from it, on its thread; `driver` is that of the store beside it."""

    def __init__(self, file: File, reader: Reader, driver: Driver) -> None:
        self._file = file
        self._reader = reader
        self._driver = driver
        self._port = cast(Replication, driver)
        self.returning = Returning(file, reader, self._port)
        self._alone = asyncio.Lock()

    async def round(self, row: Control, *, all_keys: bool) -> None:
        """Bring over what was written, if the original hive is at work; and mend what a killed one left."""
        if await self.is_unsettled(row):
            await self.settle(row)
        elif row.state is ControlState.OPEN and await self.is_returned():
            await self._forget_returned()
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
            await self._fence(row)
        elif await self.is_unsettled(row):
            await self._reader.run(self._file.unfence)
            if OWED in await self._port.notes():
                await self.returning.write()
                await self._reader.run(lambda: self._file.forget(LAST))  # we wrote that; nobody else could

    async def _fence(self, row: Control) -> None:
        await self._reader.run(lambda: self._file.fence(self._reader.source.layout, _why(row)))

    # --- what came back

    async def write_ahead(self, row: Control, limit: int) -> Page | None:
        """Some of what came back, behind the fence, so that less is left to be written when the file is
        freed. To be cleared once that is committed. None: it is too early."""
        if row.state is not ControlState.MOVED:
            return None
        await self._reader.run(self._file.unfence)
        page = await self.returning.write_page(limit)
        await self._reader.run(lambda: self._file.forget(LAST))
        await self._fence(row)
        return page

    async def is_returned(self) -> bool:
        """Whether what came back is in the tables of a file that was freed, and still noted."""
        return OWED in await self._port.notes()

    async def _forget_returned(self) -> None:
        row = await self._port.control()
        await self._port.control(row.epoch, replace(row, sinks=row.sinks - {BACK}))
        await self._port.note({OWED: None, TRIMMED: None})


def _noted(poison: set[tuple[str, int]]) -> Notes:
    return {POISON: msgspec.json.encode(sorted(poison))}


def _why(row: Control) -> str:
    if row.state is ControlState.MOVED:
        return f"this hive has moved to {row.peer}; nothing can be written here any more"
    return "this hive is being moved; nothing can be written here for a moment"
