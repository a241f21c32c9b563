"""Whatever is committed, claimed and swept gives what the reference driver gives, under one clock."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from hive_state_core.spi import Batch, CreateGroup
from hive_state_memory.driver import Memory, MemoryDriver

from .dice import Dice
from .names import GROUPS, LEASE, START
from .side import Side, difference, told

TURNS = 120

SetClock = Callable[[int], Awaitable[None]]


def seeds(few: int) -> range:
    """So many runs, unless the environment asks for more."""
    return range(int(os.environ.get("HIVE_STATE_SEEDS", few)))


class Manual(Memory):
    """A memory whose clock the test sets."""

    instant = START

    def clock(self) -> int:  # type: ignore[override]
        return self.instant


class Sides:
    """The reference, and the driver under test. `set_clock` sets the clock of the latter."""

    def __init__(self, memory: Manual, reference: Side, tested: Side, set_clock: SetClock) -> None:
        self._memory = memory
        self._both = reference, tested
        self._set_clock = set_clock

    async def set_clocks(self, at: int) -> None:
        self._memory.instant = at
        await self._set_clock(at)

    async def agree(self, ask: Callable[[Side], Awaitable[Any]], asked: object) -> None:
        one, other = [told(await ask(side)) for side in self._both]
        assert one == other, f"{difference(one, other)}\n{asked}"

    async def compare(self, seed: int) -> None:
        """One run of random trips; after each, what is there is the same too."""
        dice = Dice(seed)
        at = START
        await self.set_clocks(at)
        if dice.flat:
            groups = [Batch(tuple([CreateGroup(group, 0, 2) for group in GROUPS]))]
            await self.agree(lambda side: side.commit(groups), groups)
        for _ in range(TURNS):
            dice.look(self._both[0])
            match dice.choice(KINDS):
                case "wait":
                    at += dice.choice((1, 299, LEASE))
                    await self.set_clocks(at)
                case kind:
                    await self._turn(kind, dice)
            await self.agree(Side.state, "what is there")

    async def _turn(self, kind: str, dice: Dice) -> None:
        match kind:
            case "claim":
                requests = dice.claims()
                await self.agree(lambda side: side.claim(requests), requests)
            case "sweep":
                retention = dice.retention()
                await self.agree(lambda side: side.sweep(retention), retention)
            case _:
                batches = dice.trip()
                await self.agree(lambda side: side.commit(batches), batches)


KINDS = ("wait",) * 3 + ("claim",) * 6 + ("sweep",) + ("commit",) * 15


@asynccontextmanager
async def beside_the_reference(driver: Any, set_clock: SetClock) -> AsyncIterator[Sides]:
    """`driver` is open, and its clock is at `START` or below."""
    memory = Manual()
    reference = MemoryDriver(memory, "hive")
    await reference.open()
    yield Sides(memory, Side(reference), Side(driver), set_clock)
    await reference.close()
