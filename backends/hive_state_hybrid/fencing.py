"""At linearizable: a Store that cannot reach the cache sees to it that no cache answers anybody.

It says so by a note in the durable store, which the relay heeds before each beat, and waits until the last
beat has ended. From then on its reads and writes need no cache, and are as quick as the durable store. Once
the cache answers again, it takes the note away, and the next beat brings the cache back. A note ends by
itself, if its Store does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from hive_state_core.errors import HiveStateError
from hive_state_core.model import RecordRef
from hive_state_core.spi import Driver, Replication

PREFIX = "cache:cut-off:"
LASTS_MS = 10_000
RENEWED = 2.0
"""Seconds between two notes."""

SPARE = 2.0
"""Seconds by which we take it to end earlier than the others do."""

log = logging.getLogger("hive_state.hybrid")


class Fence:
    """Of one Store. `ping` raises HiveStateError while the cache cannot be reached."""

    def __init__(
        self, durable: Driver, port: Replication, own: str, wait: float, ping: Callable[[], Awaitable[object]]
    ) -> None:
        self._durable = durable
        self._port = port
        self._name = PREFIX + own
        self._wait = wait
        self._ping = ping
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._standing: asyncio.Future[None] | None = None

    @property
    def stands(self) -> bool:
        """Whether the cache is not to be asked."""
        return self._task is not None

    @property
    def safe(self) -> bool:
        """Whether no cache answers anybody now."""
        return monotonic() < self._until

    async def stand(self) -> None:
        """Return when no cache answers anybody what is older than what is in the durable store now."""
        while not self.safe:
            if self._task is None:
                self._standing = asyncio.get_running_loop().create_future()
                self._task = asyncio.create_task(self._stand())
            if self._standing is not None and not self._standing.done():
                await asyncio.shield(self._standing)
            else:  # it ended, and is on its way again
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _stand(self) -> None:
        log.warning("the cache cannot be reached; it is off for every process until it can")
        try:
            sent = await self._note()
            await asyncio.sleep(max(0.0, sent + self._wait - monotonic()))
            self._stood(sent)
            await self._while_cut()
        finally:
            # First we push again, then the others hear of it.
            self._until, self._task = 0.0, None
            self._release()
            await self._remove()
        log.warning("the cache can be reached again")

    def _stood(self, sent: float) -> None:
        self._until = sent + LASTS_MS / 1000 - SPARE
        self._release()

    def _release(self) -> None:
        if self._standing is not None and not self._standing.done():
            self._standing.set_result(None)

    async def _while_cut(self) -> None:
        renewed = monotonic()
        while True:
            await asyncio.sleep(0.1)
            try:
                await self._ping()
                return
            except HiveStateError:
                pass
            if monotonic() - renewed > RENEWED:
                renewed = monotonic()
                self._until = await self._note() + LASTS_MS / 1000 - SPARE

    async def _note(self) -> float:
        """Write it, however long that takes. The monotonic instant at which it surely stood for others."""
        while True:
            begun = monotonic()
            try:
                reply = await self._durable.read([RecordRef("hive:ping", "ping")])
                await self._port.note({self._name: str(reply.at + LASTS_MS).encode()})
            except HiveStateError:
                await asyncio.sleep(0.2)
                continue
            if monotonic() - begun < SPARE / 2:
                return monotonic()

    async def _remove(self) -> None:
        try:
            await self._port.note({self._name: None})
        except HiveStateError:
            log.debug("a note that ends by itself was not removed", exc_info=True)


def stands(name: str, value: bytes, at: int) -> bool:
    """Whether a note of the durable store keeps the cache off at this instant of its clock."""
    return name.startswith(PREFIX) and int(value) > at
