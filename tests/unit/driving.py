"""A driver in memory, driven by hand: trips, and a clock that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count

from hive_state_core.kv import Row
from hive_state_core.spi import Batch, Committed, Op, OpResult, Outcome
from hive_state_memory.driver import Memory, MemoryDriver

_trips = count()


class Manual(Memory):
    """A memory whose clock the test sets."""

    instant = 1_000_000

    def clock(self) -> int:  # type: ignore[override]
        return self.instant


class Slow(MemoryDriver):
    """Others get their turn before each primitive, as behind a network."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await asyncio.sleep(0)
        return await super().get(keys)

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        await asyncio.sleep(0)
        return await super().range(start, stop, limit, reverse)

    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        await asyncio.sleep(0)
        return await super().swap(guard, expected, writes)


def next_trip() -> str:
    """The id of a trip."""
    return f"t{next(_trips)}"


async def commit(driver: MemoryDriver, *batches: Batch) -> list[Outcome]:
    return list((await driver.commit(batches, next_trip())).results)


async def do(driver: MemoryDriver, *ops: Op) -> tuple[OpResult, ...]:
    """One batch that is not refused; its results."""
    (outcome,) = await commit(driver, Batch(ops))
    assert isinstance(outcome, Committed)
    return outcome.results
