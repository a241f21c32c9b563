"""Wake-ups within a process: who waits for a topic is woken when somebody rings for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from hive_state_core.model import Topic


class _Ear:
    """One waiter, on the event loop it waits on."""

    def __init__(self, topics: frozenset[Topic]) -> None:
        self.topics = topics
        self.heard: frozenset[Topic] = frozenset()
        self._loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()

    def wake(self, topics: frozenset[Topic]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._hear, topics)
        except RuntimeError:  # its loop was closed: nobody waits there any more
            return

    def _hear(self, topics: frozenset[Topic]) -> None:
        self.heard |= topics
        self.woken.set()


class Bell:
    """Shared by all drivers over the same data, which may live on different event loops and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: dict[Topic, set[_Ear]] = {}

    def ring(self, topics: Iterable[Topic]) -> None:
        """Wake everybody who waits for one of these."""
        with self._lock:
            rung = [topic for topic in topics if topic in self._ears]
            ears = {ear for topic in rung for ear in self._ears[topic]}
        for ear in ears:
            ear.wake(ear.topics.intersection(rung))

    async def wait(self, topics: frozenset[Topic], timeout: float) -> frozenset[Topic]:
        """The topics that rang first, or nothing after `timeout` seconds."""
        ear = _Ear(topics)
        with self._lock:
            for topic in topics:
                self._ears.setdefault(topic, set()).add(ear)
        try:
            async with asyncio.timeout(timeout):
                await ear.woken.wait()
        except TimeoutError:
            return frozenset()
        finally:
            self._forget(ear)
        return ear.heard

    def _forget(self, ear: _Ear) -> None:
        with self._lock:
            for topic in ear.topics:
                self._ears[topic].discard(ear)
                if not self._ears[topic]:
                    del self._ears[topic]
