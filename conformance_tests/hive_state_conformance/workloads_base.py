"""What a workload of `hive-state bench` is: it ends in an invariant read from the store, so a fast wrong one
fails.

One object drives one side: the store, or its hand-written baseline. Both run the same code.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, ClassVar

from hive_state_conformance.workloads_values import state
from hive_state_core.baselines import Baseline
from hive_state_core.features import Facility

KEYS = 10_000
"""Records that are there from the beginning, of about 500 bytes each."""


class Workload(ABC):
    """`step` is the operation that is measured; everything else runs outside of the measured time."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[frozenset[Facility]] = frozenset()
    """What a store must offer to run it, beyond records."""
    cached: ClassVar[bool | None] = None
    """Runs only on stores that have a cache (True) or have none (False)."""

    def __init__(self, side: Baseline, agents: int) -> None:
        self.side = side
        self.agents = agents
        self.random = random.Random(7).random
        self.faults: Counter[str] = Counter()
        self.keys = [f"agent-{number:06d}" for number in range(KEYS)]
        self.values = [state(number) for number in range(KEYS)]

    async def prepare(self) -> None:
        """Called once, before the first step."""
        await self.side.load(dict(zip(self.keys, self.values, strict=True)))

    async def refill(self, operations: int) -> None:
        """Called before each turn, which may do about so many operations."""
        return

    @abstractmethod
    async def step(self, agent: int) -> bool:
        """One operation of this agent; False if there is nothing left to do."""

    @abstractmethod
    async def check(self) -> None:
        """Compare the store with what was acknowledged, and count what differs in `faults`."""

    async def verdict(self) -> str:
        """ "ok", or what broke."""
        await self.check()
        return "; ".join(f"{count} x {fault}" for fault, count in self.faults.most_common()) or "ok"

    async def read_records(self) -> dict[str, tuple[Any, int]]:
        """The records that are in the store now. A key that comes twice is a fault."""
        rows = await self.side.records()
        found = {key: (value, version) for key, value, version in rows}
        self.expect(len(found) == len(rows), "a key that is there twice")
        return found

    def expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults[fault] += 1
