"""The file of an original hive that works on, as a source that is followed: `FILE`, and a store beside it.

The folder `FILE.hive-state` holds the images of what is in the file, with marks, as every store does that a
hive moves from. That store is for ever a standby, so nobody else writes to it. The control row that others
see is a note in it: it speaks of the file.

    OPEN    the original hive works, and its triggers note what it writes; `round` brings that over
    SEALED  each of its writes fails; everything was brought over before
    MOVED   so it is still; what comes back from the other store waits beside the file

Before it is OPEN again, what came back and the tables can hold is written into them (`returning`, `writing`).
What is done inside a transaction of the file is in `rounds`.

Each change of these, and each round, is made while a transaction of the file keeps everybody else from
writing; the note is what counts if somebody is killed in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import cast
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from hive_state_core.background import Background
from hive_state_core.choosing import choose
from hive_state_core.config import Config
from hive_state_core.control import changed, require_loadable, require_same
from hive_state_core.errors import Conflict, HiveStateError
from hive_state_core.migration.phases import Phase, read_job
from hive_state_core.model import Image
from hive_state_core.spi import (
    PEER,
    Control,
    ControlState,
    Driver,
    Mark,
    Notes,
    Replication,
)
from hive_state_legacy.beginning import alone, remove
from hive_state_legacy.file import File, last_change
from hive_state_legacy.filling import fill
from hive_state_legacy.options import Options
from hive_state_legacy.reader import Reader
from hive_state_legacy.returning import BACK
from hive_state_legacy.rounds import OWED, OWN, ROW, SEQ, Rounds

OUT = "out"
"""The sink that stands for PEER in the store beside the file: a standby may not have that one."""

EVERY = 0.1
"""Seconds between two looks at what was written."""

PAGE = 500
"""Marks that are written back at a time."""

AHEAD = 60.0
"""Seconds for which it is tried to have little left to write back."""

SWEEP = 60.0
"""Seconds between two comparisons of all keys."""

log: logging.Logger = logging.getLogger("hive_state.legacy")


class Beside(Background):
    """Of one file, opened. See `hive_state_core.spi.Replication` for its methods. `folder`: of the store."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._file = File(options.path, options.timeout)
        self._reader = Reader(options, self._file)
        url = f"sqlite:///{quote(str(folder))}/store.db"
        self.driver: Driver = choose(url, Config()).driver("default")
        self.port: Replication = cast(Replication, self.driver)
        self._rounds = Rounds(self._file, self._reader, self.driver)

    async def open(self) -> None:
        await self._reader.open()
        await self.driver.open()

    async def close(self) -> None:
        await self.stop()
        await self.driver.close()
        await self._reader.close()

    # --- how it begins and ends

    async def begin(self, first: Control) -> None:
        """Note what is written from now on, and take in what was there before. `first`: the control row that
        others see then. Raises Conflict for rows that cannot be taken; the file is as it was then."""
        row = await self.port.control()
        await self.port.control(row.epoch, replace(row, state=ControlState.STANDBY))
        async with self._rounds.transaction():
            await self._reader.run(self._capture)
        try:
            # To read all rows in the file itself would keep its program from writing.
            async with Reader(self._reader.source.options) as copy:
                seen = await copy.run(lambda: last_change(copy.source.snapshot))
                await fill(copy, self.port)
        except BaseException:
            async with self._rounds.transaction():
                await self._reader.run(self._file.clean)
            raise
        await self.port.note({SEQ: b"%d" % seen, ROW: msgspec.json.encode(first)})

    def _capture(self) -> None:
        self._file.clean()
        self._file.capture(self._reader.source.layout)

    async def end(self) -> None:
        """The file is as it was, and there is none beside it. Closes this. Raises Conflict if the hive lives
        elsewhere."""
        row = await self.control()
        if row.state is not ControlState.OPEN:
            raise Conflict("the hive does not live in the file", key="the control row")
        await self.close()
        await clear(self._reader.source.options)

    async def is_over(self) -> bool:
        """Whether the hive has moved from here for good."""
        job = await read_job(self.port)
        return job is not None and job.phase is Phase.COMPLETED

    # --- the port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if change is None or expect is None:
            return await self._row()
        await self.round()
        async with self._rounds.transaction():
            old = await self._row()
            if await self._rounds.is_unsettled(old):
                raise Conflict("somebody else changes the control row: try again", key="the control row")
            undelivered = bool(await self.port.marks(OUT, 1))
            new = changed(old, expect, change, empty=False, undelivered=undelivered)
            await self._rounds.prepare(old, new)
            await self._sinks(old, new)
            comes_back = (old.state, new.state) == (ControlState.MOVED, ControlState.OPEN)
            await self._replace(old, new, {OWED: b"yes" if comes_back else None})
            await self._rounds.settle(new)
        return await self._row()

    async def load(self, images: Sequence[Image], notes: Notes, expect: Control | None) -> int:
        """Inside a transaction of the file, so that the row stays what it is."""
        highest = max([image.version for image in images], default=0)
        async with self._rounds.transaction():
            row = await self._row()
            require_same(row.store_id, row.epoch, expect)
            require_loadable(row.state, highest)
            trimming = await self._rounds.returning.trimming(images)
            return await self.port.load(images, {**notes, **trimming})

    async def warm(self) -> None:
        """Write into the tables what came back so far: it need not be done then while nobody can write."""
        until = monotonic() + AHEAD
        while await self._write_ahead() >= PAGE and monotonic() < until:
            pass

    async def _write_ahead(self) -> int:
        """How many marks that were."""
        async with self._rounds.transaction():
            page = await self._rounds.write_ahead(await self._row(), PAGE)
        if page is None:
            return 0
        await self._rounds.returning.clear(page)
        return len(page.marks)

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        if sink != PEER:
            return ()
        return [Mark(PEER, mark.ref, mark.version) for mark in await self.port.marks(OUT, limit)]

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self.port.clear(OUT, [Mark(OUT, mark.ref, mark.version) for mark in marks])

    async def notes(self) -> Mapping[str, bytes]:
        notes = await self.port.notes()
        return {name: value for name, value in notes.items() if not name.startswith(OWN)}

    async def _row(self) -> Control:
        row = msgspec.json.decode((await self.port.notes())[ROW], type=Control)
        return replace(row, version=max(row.version, (await self.port.control()).version))

    async def _replace(self, old: Control, new: Control, more: Notes) -> None:
        """By compare-and-set: `version` is not in the note."""
        there = (await self.port.notes())[ROW]
        if msgspec.json.decode(there, type=Control).epoch != old.epoch or not await self.port.note(
            {ROW: msgspec.json.encode(replace(new, version=0)), **more}, expect={ROW: there}
        ):
            raise Conflict("somebody else changed the control row meanwhile", key="the control row")

    async def _sinks(self, old: Control, new: Control) -> None:
        """What is loaded beside the file is marked while PEER is a sink, and while the hive lives elsewhere.
        A sink that is added begins without."""
        row = await self.port.control()
        leaves = (old.state, new.state) == (ControlState.SEALED, ControlState.MOVED)
        left = old.state is ControlState.MOVED and BACK in row.sinks
        sinks = frozenset({OUT} if PEER in new.sinks else ()) | ({BACK} if leaves or left else set())
        if sinks != row.sinks:
            await self.port.control(row.epoch, replace(row, sinks=sinks))

    # --- in the background

    async def _run(self) -> None:
        """Bring over what is written."""
        swept, troubled = monotonic(), False
        while True:
            try:
                due = monotonic() - swept > SWEEP
                if await self._is_something_to_do() or due:
                    await self.round(all_keys=due)
                    swept = monotonic() if due else swept
                troubled = False
            except HiveStateError as error:
                if not troubled:
                    log.warning(
                        "what is written to %s is not brought over for now: %s", self._file.path, error
                    )
                troubled = True
            except Exception:  # a defect: it must not end the following, nor pass unseen
                log.exception("the following of %s failed", self._file.path)
            await asyncio.sleep(EVERY)

    async def _is_something_to_do(self) -> bool:
        row = await self._row()
        opened = row.state is ControlState.OPEN
        if await self._rounds.is_unsettled(row):
            return True
        return opened and (await self._rounds.is_returned() or bool(await self._rounds.waiting()))

    async def round(self, *, all_keys: bool = False) -> None:
        """See `Rounds.round`."""
        async with self._rounds.transaction():
            await self._rounds.round(await self._row(), all_keys=all_keys)


async def clear(options: Options) -> None:
    """The file is that of an original hive again and nothing else, and nothing is beside it."""
    file = File(options.path, options.timeout)

    def clean() -> None:
        file.begin()
        file.clean()
        file.commit()

    with alone(options.path):
        async with Reader(options, file) as reader:
            await reader.run(clean)
        remove(options.path)
