"""Memory as a cache in front of another store, as a Redis server would be one: for tests, and as the
reference."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from hive_state_core.caching import LEASE_MS, Asked, Beat, Entry, Hit
from hive_state_core.errors import Closed
from hive_state_core.model import RecordImage, RecordRef, Topic
from hive_state_core.spi import MemoryStats
from hive_state_core.topics import hash_of
from hive_state_core.waiters import Waiters

Stamp = tuple[int, int]


class Held:
    """What the caches of one store share: a server. `run` grows when a test restarts it."""

    def __init__(self) -> None:
        self.run: int = 1
        self.entries: dict[RecordRef, tuple[Stamp, RecordImage, int | None]] = {}
        self.leases: dict[RecordRef, tuple[Stamp, str, int]] = {}
        self.told: tuple[int, Beat] | None = None
        self.relay: tuple[str, int] = ("", 0)
        self.waiters: Waiters[int] = Waiters(hash_of)

    @staticmethod
    def clock() -> int:
        return time.time_ns() // 1_000_000

    @property
    def beat(self) -> Beat | None:
        return self.told[1] if self.told is not None and self.told[0] == self.run else None

    @property
    def stamp(self) -> Stamp | None:
        return None if self.beat is None else (self.run, self.beat.epoch)

    def image(self, ref: RecordRef) -> tuple[RecordImage, int | None] | None:
        """What is there, and how long it lives."""
        stamp, image, until = self.entries.get(ref, (None, None, None))
        now = self.clock()
        if image is None or stamp != self.stamp or (until is not None and until <= now):
            return None
        return image, None if until is None else until - now

    def holder(self, ref: RecordRef) -> str:
        stamp, name, until = self.leases.get(ref, (None, "", 0))
        return name if stamp == self.stamp and until > self.clock() else ""

    def forget(self, ref: RecordRef) -> None:
        self.entries.pop(ref, None)
        self.leases.pop(ref, None)


class MemoryCache:
    """See `hive_state_core.caching.Cache`."""

    def __init__(self, stores: dict[str, Held]) -> None:
        self._stores = stores
        self._held: Held | None = None

    async def open(self, store_id: str) -> None:
        self._held = self._stores.setdefault(store_id, Held())

    async def close(self) -> None:
        self._held = None

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> Asked:
        held = self._opened()
        now, beat = held.clock(), held.beat
        if beat is None or (gated and beat.until <= now):
            return Asked(now, beat, [False] * len(refs))
        return Asked(now, beat, [self._find(ref, lease) for ref in refs])

    def _find(self, ref: RecordRef, lease: str) -> Hit | bool:
        held = self._opened()
        found = held.image(ref)
        if found is not None:
            return Hit(*found)
        if held.holder(ref) or held.stamp is None:
            return False
        held.leases[ref] = (held.stamp, lease, held.clock() + LEASE_MS)
        return True

    async def push(self, entries: Sequence[Entry]) -> None:
        held = self._opened()
        for entry in entries:
            found = held.image(entry.ref)
            if entry.version and found is not None and found[0].version >= entry.version:
                continue
            fills = found is not None or (entry.lease != "" and held.holder(entry.ref) == entry.lease)
            held.forget(entry.ref)
            if entry.image is not None and fills and held.stamp is not None:
                held.entries[entry.ref] = (held.stamp, entry.image, entry.until)

    async def now(self) -> int:
        return self._opened().clock()

    async def beat(self, beat: Beat) -> None:
        held = self._opened()
        last = held.beat
        if last is None or (last.epoch <= beat.epoch and last.began < beat.began):
            held.told = (held.run, beat)

    async def lead(self, name: str, ms: int) -> bool:
        held = self._opened()
        leads, until = held.relay
        if leads != name and until > held.clock():
            return False
        held.relay = (name, held.clock() + ms)
        return True

    async def memory(self) -> MemoryStats:
        return MemoryStats(used=0, most=None)

    async def announce(self, news: Collection[int]) -> None:
        self._opened().waiters.wake(news)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._opened().waiters.wait(topics, timeout)

    def _opened(self) -> Held:
        if self._held is None:
            raise Closed("the cache is not open")
        return self._held
