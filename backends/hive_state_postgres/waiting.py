"""`wait`: woken at once by this store's own trips, by NOTIFY of others, or by a look at the counter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hive_state_core.errors import HiveStateError
from hive_state_core.model import Topic
from hive_state_core.topics import hash_of
from hive_state_core.waiters import Crier, Waiters
from hive_state_postgres.dialing import Connection

POLL_S = 0.25
"""How often the counter is looked at while anybody waits and no notification can come."""
MOST_TOPICS = 600
"""That fit the 8000 bytes of a notification; beyond, all who wait look."""

log = logging.getLogger("hive_state.postgres")


class Listener:
    """Who waits for which topics.

    `listen` opens a connection that is told to call `heard` (None: there can be none); `notify` sends a
    payload; `counter` reads the number of the last trip of anybody.
    """

    def __init__(
        self,
        ns: Callable[[], int],
        listen: Callable[[Callable[..., None]], Awaitable[Connection | None]],
        notify: Callable[[str], Awaitable[None]],
        counter: Callable[[], Awaitable[int]],
    ) -> None:
        self._ns = ns
        self._listen = listen
        self._notify = notify
        self._counter = counter
        self._waiters = Waiters(hash_of)
        self._ears: asyncio.Task[None] | None = None
        self._crier = Crier(self._tell)

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """The first topic that something happened to; empty after the time-out."""
        if self._ears is None:
            self._ears = asyncio.create_task(self._hear())
        return await self._waiters.wait(topics, timeout_ms)

    def happened(self, hashes: set[int]) -> None:
        """This store's own trip is committed: tell those who wait here, and soon those elsewhere."""
        self._waiters.wake(hashes)
        self._crier.happened(hashes)

    async def close(self) -> None:
        await self._crier.close()
        if self._ears is not None:
            self._ears.cancel()
            await asyncio.gather(self._ears, return_exceptions=True)

    async def _tell(self, news: set[int]) -> None:
        some = ",".join(map(str, news)) if len(news) <= MOST_TOPICS else "*"
        await self._notify(f"{self._ns()}:{some}")

    def heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        """A notification came."""
        ns, _, some = payload.partition(":")
        if ns == str(self._ns()):
            if some == "*":
                self._waiters.wake_all()
            else:
                self._waiters.wake(map(int, some.split(",")))

    async def _hear(self) -> None:
        """Runs from the first wait on: listens, and where that is not possible, polls."""
        seen = 0
        connection: Connection | None = None
        try:
            while True:
                if connection is None or connection.is_closed():
                    connection = await self._try_listen()
                    if connection is not None:  # what was said before it listened, nobody heard
                        self._waiters.wake_all()
                if connection is None and self._waiters:
                    counter = await self._try_counter(seen)
                    if counter != seen:
                        seen = counter
                        self._waiters.wake_all()
                await asyncio.sleep(POLL_S)
        finally:
            if connection is not None:
                connection.terminate()

    async def _try_listen(self) -> Connection | None:
        try:
            return await self._listen(self.heard)
        except HiveStateError as error:
            log.debug("cannot listen: %s", error)
            return None

    async def _try_counter(self, seen: int) -> int:
        try:
            return await self._counter()
        except HiveStateError:
            return seen
