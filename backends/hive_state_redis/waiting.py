"""`wait`: woken by what the trips of all stores publish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from hive_state_core.errors import HiveStateError
from hive_state_core.model import Topic
from hive_state_core.topics import hash_of
from hive_state_core.waiters import Waiters
from hive_state_redis.wire import Wire

RETRY_S = 0.25
"""Between two attempts to listen."""
MOST_TOPICS = 500
"""Of one message; beyond, all who wait look."""

log = logging.getLogger("hive_state.redis")


def news_of(hashes: Collection[int]) -> str:
    """What a trip publishes."""
    return ",".join(map(str, hashes)) if len(hashes) <= MOST_TOPICS else "*"


class Listener:
    """Who waits for which topics. `listen` subscribes to the channel, see `Link.listen`."""

    def __init__(self, listen: Callable[[Callable[[bytes | None], None]], Awaitable[Wire]]) -> None:
        self._listen = listen
        self._waiters = Waiters(hash_of)
        self._ears: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """The first topic that something happened to; empty after the time-out."""
        if self._ears is None:
            self._ears = asyncio.create_task(self._hear())
        return await self._waiters.wait(topics, timeout_ms)

    async def close(self) -> None:
        if self._ears is not None:
            self._ears.cancel()
            await asyncio.gather(self._ears, return_exceptions=True)
            self._ears = None

    async def _hear(self) -> None:
        """Runs from the first wait on: listens, and again when the connection is lost."""
        while True:
            self._lost.clear()
            try:
                wire = await self._listen(self._heard)
            except HiveStateError as error:
                log.debug("cannot listen: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            self._waiters.wake_all()  # what was said before it listened, nobody heard
            try:
                await self._lost.wait()
            finally:
                await wire.close()

    def _heard(self, message: bytes | None) -> None:
        """None: the connection is gone."""
        if message is None:
            self._lost.set()
        elif message == b"*":
            self._waiters.wake_all()
        else:
            self._waiters.wake(map(int, message.split(b",")))
