"""`wait`: woken at once by this process's own trips, and by a look at the counter for those of others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from hive_state_core.model import Topic

POLL_S = 0.05
"""How often the trips of other processes are looked for while anybody waits."""


class Waiters:
    """Who waits for which topics. `foreign_counter` reads the counter of the last trip of anybody."""

    def __init__(self, foreign_counter: Callable[[], Awaitable[int]]) -> None:
        self._read_counter = foreign_counter
        self._waiting: dict[Topic, set[asyncio.Future[Topic]]] = defaultdict(set)
        self._seen = 0
        self._poller: asyncio.Task[None] | None = None

    def start(self, counter: int) -> None:
        """The counter when the store was opened."""
        self._seen = counter

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """The first topic that something happened to; empty after the time-out."""
        woken: asyncio.Future[Topic] = asyncio.get_running_loop().create_future()
        for topic in topics:
            self._waiting[topic].add(woken)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return frozenset({await woken})
        except TimeoutError:
            return frozenset()
        finally:
            self._forget(topics, woken)

    def happened(self, topics: Iterable[Topic], counter: int) -> None:
        """A trip of this process, the `counter`-th of the store, has changed these."""
        if counter != self._seen + 1:
            self._wake_all()  # others were in between
        self._seen = max(self._seen, counter)
        if self._waiting:
            for topic in topics:
                self._wake(topic)

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        """Runs as long as anybody waits."""
        try:
            while self._waiting:
                counter = await self._read_counter()
                if counter > self._seen:
                    self._seen = counter
                    self._wake_all()
                await asyncio.sleep(POLL_S)
        finally:
            self._poller = None

    def _wake_all(self) -> None:
        for topic in list(self._waiting):
            self._wake(topic)

    def _wake(self, topic: Topic) -> None:
        for woken in self._waiting.get(topic, ()):
            if not woken.done():
                woken.set_result(topic)

    def _forget(self, topics: frozenset[Topic], woken: asyncio.Future[Topic]) -> None:
        for topic in topics:
            self._waiting[topic].discard(woken)
            if not self._waiting[topic]:
                del self._waiting[topic]
