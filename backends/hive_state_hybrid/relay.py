"""What keeps the cache true: whatever was written, by whomever, is dropped from it, and then it may answer.

Each Store runs a relay; one of them leads at a time, and two at once would do no harm. A round begins at an
instant of the cache, drops from the cache what is marked in the durable store, and lets the cache answer for
so long from that instant on. A Store that is cut off from the cache keeps it from doing so (see
`board.py`)."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from hive_state_core.background import Background
from hive_state_core.caching import Beat, Entry
from hive_state_core.errors import Conflict, HiveStateError
from hive_state_core.model import RecordRef
from hive_state_core.spi import CACHE, Control, ControlState, Driver, Replication, Settling
from hive_state_hybrid.board import may_answer
from hive_state_hybrid.front import Front

MARKS = 1000
"""Read at once."""

log = logging.getLogger("hive_state.hybrid")


class Relay(Background):
    """Of one Store. `beat`: for how many seconds a beat lets the cache answer."""

    def __init__(self, durable: Driver, port: Replication, front: Front, own: str, beat: float) -> None:
        self._durable = durable
        self._port = port
        self._front = front
        self._own = own
        self._beat = beat
        self.rounds: int = 0

    async def _run(self) -> None:
        while True:
            try:
                await self._settle()
                await self.round()
            except HiveStateError as error:
                log.debug("a round of the cache's relay failed: %s", error)
            await asyncio.sleep(self._beat / 4)

    async def _settle(self) -> None:
        """Take away the marks of what this Store has told the cache itself, so that no relay reads them."""
        trips = self._front.told.turn()
        if trips and isinstance(self._port, Settling):
            await self._port.settle(trips)

    async def round(self) -> bool:
        """Whether the cache may answer again. Raises HiveStateError."""
        front, cache = self._front, self._front.cache
        leads = await front.breaker.call(lambda: cache.lead(self._own, int(self._beat * 1000)))
        if not leads:
            return False
        began = await front.breaker.call(cache.now)
        row = await with_sink(self._port)
        if row.state is not ControlState.OPEN:
            return False
        may = await self._may_answer()
        # Only now: who is cut off no more may have written until then what nobody pushed.
        await self._drop_marked()
        if not may:
            return False
        if (await self._port.control()).epoch != row.epoch:
            return False  # marks may have gone with the sink, unheard
        beat = Beat(row.epoch, began, began + int(self._beat * 1000))
        await front.breaker.call(lambda: cache.beat(beat))
        self.rounds += 1
        return True

    async def _may_answer(self) -> bool:
        return await may_answer(self._durable, self._port, int(self._beat * 1000))

    async def _drop_marked(self) -> None:
        while True:
            marks = await self._port.marks(CACHE, MARKS)
            untold = [mark for mark in marks if not self._front.told.has(mark.version)]
            entries = [Entry(mark.ref, mark.version) for mark in untold if isinstance(mark.ref, RecordRef)]
            await self._front.push(entries)
            # What was told goes by its trips, soon, which costs less; unless there is more behind it.
            done = untold if isinstance(self._port, Settling) and len(marks) < MARKS else marks
            if done:
                await self._port.clear(CACHE, done)
            if len(marks) < MARKS:
                return


async def with_sink(port: Replication) -> Control:
    """The control row, in which the cache is a sink of marks if the store is open."""
    while True:
        row = await port.control()
        if row.state is not ControlState.OPEN or CACHE in row.sinks:
            return row
        try:
            return await port.control(row.epoch, replace(row, sinks=row.sinks | {CACHE}))
        except Conflict:  # somebody else did, or moves the hive
            continue
