"""A driver in memory, driven by hand: trips, and a clock that the test sets."""

from __future__ import annotations

from itertools import count

from hive_state_core.spi import Batch, Committed, Op, OpResult, Outcome
from hive_state_memory.driver import Memory, MemoryDriver

_trips = count()


class Manual(Memory):
    """A memory whose clock the test sets."""

    instant = 1_000_000

    def clock(self) -> int:  # type: ignore[override]
        return self.instant


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
