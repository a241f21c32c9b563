"""At linearizable: a Store that cannot reach the cache sees to it that no cache answers anybody.

It says so by a note in the durable store (see `board.py`), which the relay heeds before each beat, and waits
until the last beat has ended, if there may be one. From then on its reads and writes need no cache, and are
as quick as the durable store. Once the cache answers again, it takes the note away, and the next beat brings
the cache back. A note ends by itself, if its Store does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from hive_state_core.errors import Conflict, HiveStateError
from hive_state_core.spi import NO_NOTES, Driver, Replication
from hive_state_hybrid.board import ANSWERS, CUT_OFF, instant

LASTS_MS = 10_000
RENEWED = 2.0
"""Seconds between two notes."""

AGAIN = 0.1
"""Seconds between two attempts."""

SPARE = 2.0
"""Seconds by which we take it to end earlier than the others do."""

log = logging.getLogger("hive_state.hybrid")


class Fence:
    """Of the Store `own`. `ping` raises HiveStateError while the cache cannot be reached."""

    def __init__(
        self, durable: Driver, port: Replication, own: str, ping: Callable[[], Awaitable[object]]
    ) -> None:
        self._durable = durable
        self._port = port
        self._name = CUT_OFF + own
        self._said: bytes | None = None
        self._ping = ping
        self._lasts = self._until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self.stands: bool = False
        """Whether the cache is not to be asked."""

    @property
    def safe(self) -> bool:
        """Whether no cache answers anybody now."""
        return monotonic() < self._until

    async def stand(self) -> None:
        """Return when no cache answers anybody what is older than what is in the durable store now."""
        while not self.safe:
            if self._task is None:
                self.stands = True
                self._settled.clear()
                self._task = asyncio.create_task(self._stand())
            if self._settled.is_set():  # it ends, or is late, and stands again soon
                await asyncio.sleep(0.05)
            await self._settled.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _stand(self) -> None:
        log.warning("the cache cannot be reached; it is off for every process until it can")
        self._said = None
        try:
            while await self._lost():
                self._said = None
        finally:
            # First we push again, then the others hear of it.
            self._until, self.stands = 0.0, False
            self._settled.set()
            await self._remove()
            self._task = None
        log.warning("the cache can be reached again")

    async def _lost(self) -> bool:
        """Whether the note could not be kept; else it was, from the first one until the cache answered."""
        try:
            await self._note()
            await self._turn_off(monotonic())
            self._until = self._lasts
            self._settled.set()
            await self._while_cut()
        except HiveStateError as error:
            self._until = 0.0
            log.debug("the cache is not known to be off: %s", error)
            await asyncio.sleep(AGAIN)
            return True
        return False

    async def _note(self) -> None:
        """Write it, or a later one. Raises Conflict if it is not there any more: others took it for ended."""
        begun = monotonic()
        said = b"%d" % (await instant(self._durable) + LASTS_MS)
        expect = NO_NOTES if self._said is None else {self._name: self._said}
        if not await self._port.note({self._name: said}, expect):
            raise Conflict("the note that the cache cannot be reached has ended")
        self._said, self._lasts = said, begun + LASTS_MS / 1000 - SPARE

    async def _turn_off(self, noted: float) -> None:
        """Wait until the last beat from before that instant has ended, if there may be one."""
        answers = (await self._port.notes()).get(ANSWERS)
        if answers is None:
            return
        ends = noted + int(answers) / 1000
        while (left := ends - monotonic()) > 0:
            await asyncio.sleep(min(left, RENEWED))
            await self._note()
        if not await self._port.note({ANSWERS: None}, {self._name: self._said}):
            raise Conflict("the note that the cache cannot be reached has ended")

    async def _while_cut(self) -> None:
        renewed = monotonic()
        while True:
            await asyncio.sleep(AGAIN)
            try:
                await self._ping()
                return
            except HiveStateError:
                pass
            if monotonic() - renewed > RENEWED:
                renewed = monotonic()
                await self._note()
                self._until = self._lasts

    async def _remove(self) -> None:
        if self._said is None:
            return
        try:
            await self._port.note({self._name: None}, {self._name: self._said})
        except HiveStateError:
            log.debug("a note that ends by itself was not removed", exc_info=True)
