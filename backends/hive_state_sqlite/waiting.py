"""`wait`: woken at once by this process's own trips, and by a look at the counter for those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from hive_state_core.model import Topic
from hive_state_core.waiters import Waiters

POLL_S = 0.05
"""How often the trips of other processes are looked for while anybody waits."""


class Listener:
    """Who waits for which topics. `foreign_counter` reads the counter of the last trip of anybody."""

    def __init__(self, foreign_counter: Callable[[], Awaitable[int]]) -> None:
        self._read_counter = foreign_counter
        self._waiters: Waiters[Topic] = Waiters(lambda topic: topic)
        self._seen = 0
        self._poller: asyncio.Task[None] | None = None

    def start(self, counter: int) -> None:
        """The counter when the store was opened."""
        self._seen = counter

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """The first topic that something happened to; empty after the time-out."""
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        return await self._waiters.wait(topics, timeout_ms)

    def happened(self, topics: Iterable[Topic], counter: int) -> None:
        """A trip of this process, the `counter`-th of the store, has changed these."""
        if counter != self._seen + 1:
            self._waiters.wake_all()  # others were in between
        self._seen = max(self._seen, counter)
        if self._waiters:
            self._waiters.wake(topics)

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        """Runs as long as anybody waits."""
        try:
            while self._waiters:
                counter = await self._read_counter()
                if counter > self._seen:
                    self._seen = counter
                    self._waiters.wake_all()
                await asyncio.sleep(POLL_S)
        finally:
            self._poller = None
