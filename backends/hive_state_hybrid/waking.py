"""Wake-ups: the fast store carries them where the durable one cannot push, as behind PgBouncer.

Claims are decided by the durable store alone; this is only how soon somebody asks. So what the fast store
loses costs the time until the durable store's next look at itself. While it cannot be reached, nothing is
sent to it. See docs/adr/0022-woken-by-the-fast-store.md."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hive_state_core.caching import Cache
from hive_state_core.errors import Unavailable
from hive_state_core.features import Wake
from hive_state_core.model import Topic
from hive_state_core.spi import Batch, Driver
from hive_state_core.topics import hashes_of
from hive_state_core.waiters import Crier
from hive_state_hybrid.breaker import Breaker


class Waking:
    """Of one Store. `breaker` knows whether the cache can be reached."""

    def __init__(self, durable: Driver, cache: Cache, breaker: Breaker, timeout: float) -> None:
        self._durable = durable
        self._cache = cache
        self._breaker = breaker
        self._timeout = timeout
        self._crier = Crier(self._announce)
        self.carries: bool = durable.features.wake is not Wake.PUSH

    def happened(self, batches: Sequence[Batch]) -> None:
        """A trip of this Store is committed."""
        if self.carries:
            self._crier.happened(hashes_of(batches))

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        """As `Driver.wait`: whoever hears of it first."""
        if not self.carries:
            return await self._durable.wait(topics, timeout)
        ears = [asyncio.create_task(each.wait(topics, timeout)) for each in (self._durable, self._cache)]
        try:
            await asyncio.wait(ears, return_when=asyncio.FIRST_COMPLETED)
            return frozenset().union(*(ear.result() for ear in ears if ear.done()))
        finally:
            for ear in ears:
                ear.cancel()

    async def close(self) -> None:
        await self._crier.close()

    async def _announce(self, news: set[int]) -> None:
        if self._breaker.refuses:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._cache.announce(news)
        except TimeoutError as error:
            raise Unavailable("the cache did not answer") from error
