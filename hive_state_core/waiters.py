"""Who waits until something happens to a topic, and who says that it did: what several drivers share."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from hive_state_core.errors import HiveStateError
from hive_state_core.model import Topic

PAUSE_S = 0.02
"""The least time between two words of one store: what happens meanwhile goes together."""

LAST_S = 1.0
"""That the last word of a store may take, when it is closed."""

log: logging.Logger = logging.getLogger("hive_state")

Number = TypeVar("Number", bound=Hashable)


class Waiters(Generic[Number]):
    """`number_of` gives what a topic is known by here; topics of one number wake each other."""

    def __init__(self, number_of: Callable[[Topic], Number]) -> None:
        self._number_of = number_of
        self._waiting: dict[Number, dict[asyncio.Future[Topic], Topic]] = defaultdict(dict)

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """The first topic that something happened to; empty after the time-out."""
        woken: asyncio.Future[Topic] = asyncio.get_running_loop().create_future()
        numbers = {self._number_of(topic): topic for topic in topics}
        for number, topic in numbers.items():
            self._waiting[number][woken] = topic
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return frozenset({await woken})
        except TimeoutError:
            return frozenset()
        finally:
            for number in numbers:
                del self._waiting[number][woken]
                if not self._waiting[number]:
                    del self._waiting[number]

    def wake(self, numbers: Iterable[Number]) -> None:
        for number in numbers if self._waiting else ():
            for woken, topic in self._waiting.get(number, {}).items():
                if not woken.done():
                    woken.set_result(topic)

    def wake_all(self) -> None:
        self.wake(list(self._waiting))


class Crier:
    """Tells others to what topics something happened: at once, or with all that happens within PAUSE_S.

    `tell` sends numbers of topics. What it raises is logged: a hint may be lost.
    """

    def __init__(self, tell: Callable[[set[int]], Awaitable[None]]) -> None:
        self._tell = tell
        self._news: set[int] = set()
        self._telling: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def happened(self, numbers: set[int]) -> None:
        if not numbers:
            return
        self._news |= numbers
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all())

    async def close(self) -> None:
        """What was not told yet is told now, unless that takes long: who enqueues and ends is heard, too."""
        self._closed.set()
        if self._telling is not None:
            _, late = await asyncio.wait({self._telling}, timeout=LAST_S)
            for task in late:
                task.cancel()
                await asyncio.wait(late)

    async def _tell_all(self) -> None:
        try:
            while self._news:
                news, self._news = self._news, set()
                try:
                    await self._tell(news)
                except HiveStateError as error:
                    log.debug("it was not told what happened: %s", error)
                await self._pause()
        finally:
            self._telling = None

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PAUSE_S):
                await self._closed.wait()
        except TimeoutError:
            return
