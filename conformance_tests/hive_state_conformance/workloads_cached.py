"""The workloads of `hive-state bench` on reads through a cache: of what it holds, and of what it does not."""

from __future__ import annotations

from collections import deque
from typing import Any

from hive_state_conformance.workloads_base import Workload
from hive_state_conformance.workloads_values import state
from hive_state_core.baselines import Baseline

HOT = 100
"""Records that everybody reads."""

CHUNK = 5_000
"""Records that are added at once."""


class _Reads(Workload):
    cached = True

    def __init__(self, side: Baseline, agents: int) -> None:
        super().__init__(side, agents)
        self.written: dict[str, dict[str, Any]] = {}

    async def write(self, numbers: range) -> list[str]:
        """New records, and their keys."""
        values = {f"agent-{number:06d}": state(number) for number in numbers}
        await self.side.load(values)
        self.written |= values
        return list(values)

    async def read(self, key: str) -> None:
        found = await self.side.get(key)
        if found is None or found[0] != self.written[key]:
            self.faults["a read that was not what had been written"] += 1

    async def check(self) -> None:
        found = await self.read_records()
        self.expect(found.keys() == self.written.keys(), "a wrong number of records")
        for key, (value, _) in found.items():
            self.expect(value == self.written[key], "a record that is not what was written")


class GetHot(_Reads):
    name = "get_hot"
    summary = "read one of 100 records that all agents read"

    async def prepare(self) -> None:
        self.hot = await self.write(range(HOT))
        for key in self.hot:
            await self.read(key)

    async def step(self, agent: int) -> bool:
        await self.read(self.hot[int(self.random() * HOT)])
        return True


class GetCold(_Reads):
    name = "get_cold"
    summary = "read a record for the first time"

    async def prepare(self) -> None:
        self.unread: deque[str] = deque()

    async def refill(self, operations: int) -> None:
        while (missing := operations + self.agents - len(self.unread)) > 0:
            first = len(self.written)
            self.unread += await self.write(range(first, first + min(missing, CHUNK)))

    async def step(self, agent: int) -> bool:
        if not self.unread:
            return False
        await self.read(self.unread.popleft())
        return True
