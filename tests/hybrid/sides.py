"""Processes of one hive, as far as their caches go: each has a driver of its own, and a cache that may be cut
off, slow, or late. Their relays run when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from hive_state_core.caching import Asked, Beat, Cache, Entry
from hive_state_core.errors import Unavailable
from hive_state_core.features import Consistency
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import Batch, MemoryStats, Put, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.url import parse_url
from hive_state_hybrid.driver import HybridDriver
from hive_state_hybrid.front import Front
from hive_state_hybrid.near import Near
from hive_state_hybrid.options import Options
from hive_state_memory.driver import MemoryDriver, memory_of

Answer = TypeVar("Answer")

REF = RecordRef("c", "k")
BEAT, NEAR = 0.3, 0.1
"""Seconds, at pace 1."""
SIZE = 100
"""Records that a process keeps in its memory."""


def opened_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


class Door:
    """The cache as one process reaches it.

    cut          it cannot be reached
    may_push     pushes wait for it
    may_hear     what was asked has its answer, which waits for it
    before_beat  done between a round of the relay and its beat
    held         pushes and answers that wait now
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.cut = False
        self.may_push, self.may_hear = opened_gate(), opened_gate()
        self.held = 0
        self.before_beat: Callable[[], Awaitable[object]] | None = None

    async def open(self, store_id: str) -> None:
        await self.cache.open(store_id)

    async def close(self) -> None:
        await self.cache.close()

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> Asked:
        self._reach()
        asked = await self.cache.ask(refs, lease, gated)
        await self._pass(self.may_hear)
        return asked

    async def push(self, entries: Sequence[Entry]) -> None:
        await self._pass(self.may_push)
        self._reach()
        await self.cache.push(entries)

    async def now(self) -> int:
        self._reach()
        return await self.cache.now()

    async def beat(self, beat: Beat) -> None:
        if self.before_beat is not None:
            await self.before_beat()
        self._reach()
        await self.cache.beat(beat)

    async def lead(self, name: str, ms: int) -> bool:
        self._reach()
        return True

    async def memory(self) -> MemoryStats:
        self._reach()
        return await self.cache.memory()

    async def _pass(self, gate: asyncio.Event) -> None:
        self.held += 1
        try:
            await gate.wait()
        finally:
            self.held -= 1

    def _reach(self) -> None:
        if self.cut:
            raise Unavailable("cut off, by the test")


def options_of(level: Consistency, beat: float, near: float) -> Options:
    """`near`: seconds that a process answers from its own memory, where the level lets it."""
    near = 0.0 if level is Consistency.LINEARIZABLE else near
    return Options(
        durable="d",
        fast="f",
        consistency=level,
        max_staleness=beat + near,
        near_ttl=near,
        near_size=SIZE,
        cache_ttl=3600.0,
        cache_timeout=5.0,
        beat=beat,
    )


def forget(front: Front) -> None:
    """What is near has gone, to make room."""
    near = Near(SIZE, front.near._span)
    near.reading = front.near.reading
    front.near = near


class Side:
    """A process: its door to the cache, its driver, and what its callers do."""

    def __init__(self, durable: MemoryDriver, cache: Cache, options: Options) -> None:
        self.door = Door(cache)
        self.driver = HybridDriver(durable, self.door, options)
        self.front = self.driver._front
        self.trips = Trips(self.driver)
        self._tasks: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        await self.driver.open()
        await self.driver._relay.stop()
        self.trips.open()

    async def close(self) -> None:
        self.door.cut = False
        for gate in (self.door.may_push, self.door.may_hear):
            gate.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.trips.close()
        await self.driver.close()

    async def until_held(self, doing: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        """Begin something that comes to a closed gate, and return when it is there."""
        task = asyncio.create_task(doing)
        self._tasks.append(task)
        while not self.door.held and not task.done():
            await asyncio.sleep(0.001)
        return task

    async def read(self) -> bytes | None:
        (image,) = await self.trips.read((REF,))
        return None if image is None else image.value  # type: ignore[union-attr]

    async def look(self) -> RecordImage:
        """The record, beside the cache; what it is then, `swap` may replace knowing it."""
        (image,) = (await self.driver.fetch([REF])).results
        assert image is not None
        return image

    async def write(self, value: bytes) -> None:
        await self.trips.commit(Batch((Put(REF, value),)))

    async def swap(self, before: RecordImage, value: bytes) -> None:
        """A write that knows the whole image that it makes, and tells the cache."""
        await self.trips.commit(Batch((Put(REF, value),), (VersionIs(REF, before.version),)))

    async def beat(self) -> bool:
        return await self.driver._relay.round()

    async def settled(self) -> None:
        """What was pushed in the background has arrived."""
        while self.front._pusher is not None:
            await asyncio.sleep(0)

    async def write_cut_off(self, value: bytes) -> None:
        """The cache does not hear of it. It can be reached again when this returns."""
        self.door.cut = True
        await self.write(value)
        await self.settled()
        self.door.cut = False
        while self.front.breaker.refuses:
            await asyncio.sleep(0.001)

    async def mended(self) -> None:
        """It reaches the cache again, and its fence is gone."""
        self.door.cut = False
        while self.front.fence is not None and self.front.fence._task is not None:
            await asyncio.sleep(0.01)


class Hive:
    """Three processes over one store in memory, in which the record is written.

    bound  seconds after which nothing older is told
    """

    def __init__(self, level: Consistency, cache: Callable[[], Cache], pace: float) -> None:
        memory = memory_of(parse_url("memory://"))
        options = options_of(level, BEAT * pace, NEAR * pace)
        self.bound = (BEAT + NEAR) * pace
        self.sides = [Side(MemoryDriver(memory, "n"), cache(), options) for _ in range(3)]
        self.one, self.two, self.three = self.sides
        self.cache = cache()


@asynccontextmanager
async def hive_of(level: Consistency, cache: Callable[[], Cache], pace: float = 1) -> AsyncIterator[Hive]:
    """`pace`: how many times longer beats last, and what is near, for a machine that is busy."""
    hive = Hive(level, cache, pace)
    for side in hive.sides:
        await side.open()
    await hive.cache.open(hive.one.front.store_id)
    await hive.one.write(b"1")
    await hive.one.settled()
    try:
        yield hive
    finally:
        for side in hive.sides:
            await side.close()
        await hive.cache.close()
