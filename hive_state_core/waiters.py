"""Who waits until something happens to a topic: what the `wait` of several drivers has in common."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from hive_state_core.model import Topic

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
        for number in numbers:
            for woken, topic in self._waiting.get(number, {}).items():
                if not woken.done():
                    woken.set_result(topic)

    def wake_all(self) -> None:
        self.wake(list(self._waiting))
