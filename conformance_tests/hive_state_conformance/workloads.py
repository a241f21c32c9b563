"""The workloads of `hive-state bench` on records and tasks, and the list of all."""

from __future__ import annotations

from collections import Counter

from hive_state_conformance.workloads_base import Workload
from hive_state_conformance.workloads_cached import GetCold, GetHot
from hive_state_conformance.workloads_streams import Append, PublishConsume
from hive_state_conformance.workloads_values import state
from hive_state_core.baselines import HeldTask
from hive_state_core.features import Facility

CHUNK = 5_000
"""Tasks that are added at once."""


class Get(Workload):
    name = "get"
    summary = "read a record, chosen at random"
    cached = False

    async def prepare(self) -> None:
        await super().prepare()
        await self.check()
        found = await self.read_records()
        self.versions = [found[key][1] if key in found else 0 for key in self.keys]

    async def step(self, agent: int) -> bool:
        number = int(self.random() * len(self.keys))
        found = await self.side.get(self.keys[number])
        if found is None or found[0] != self.values[number] or found[1] != self.versions[number]:
            self.faults["a read that was not what had been written"] += 1
        return True

    async def check(self) -> None:
        found = await self.read_records()
        self.expect(len(found) == len(self.keys), "a wrong number of records")
        for key, value in zip(self.keys, self.values, strict=True):
            self.expect(key in found and found[key][0] == value, "a record that is not what was written")


class Put(Workload):
    name = "put"
    summary = "write a record, chosen at random"

    async def prepare(self) -> None:
        await super().prepare()
        self.steps = 0
        self.newest = [(0, 0)] * len(self.keys)  # of each key: the highest acknowledged version, and its step

    async def step(self, agent: int) -> bool:
        number = int(self.random() * len(self.keys))
        self.steps = step = self.steps + 1
        version = await self.side.put(self.keys[number], {**self.values[number], "step": step})
        newest = self.newest[number][0]
        if version > newest:
            self.newest[number] = (version, step)
        elif version == newest:
            self.faults["two writes of a record that got the same version"] += 1
        return True

    async def check(self) -> None:
        found = await self.read_records()
        self.expect(len(found) == len(self.keys), "a wrong number of records")
        for key, value, (version, step) in zip(self.keys, self.values, self.newest, strict=True):
            there, its_version = found.get(key, (None, -1))
            self.expect(there == {**value, "step": step}, "a record that is not what was written last")
            self.expect(version in (0, its_version), "a record without the version that was acknowledged")


class Cas(Workload):
    name = "cas"
    summary = "compare-and-set a counter of the agent's own"

    async def prepare(self) -> None:
        await super().prepare()
        self.counted = [0] * self.agents
        self.names = [f"counter-{agent}" for agent in range(self.agents)]
        await self.side.load({name: state(agent) for agent, name in enumerate(self.names)})
        found = await self.read_records()
        self.versions = [found[name][1] if name in found else 0 for name in self.names]
        self.stale = list(self.versions)

    async def step(self, agent: int) -> bool:
        expected = self.versions[agent]
        value = {**self.values[agent % len(self.keys)], "step": self.counted[agent] + 1}
        version = await self.side.cas(self.names[agent], value, expected)
        if version is None:
            self.faults["a compare-and-set with the right version that was refused"] += 1
            return True
        if version <= expected:
            self.faults["a version that did not grow"] += 1
        self.counted[agent] += 1
        self.versions[agent] = version
        return True

    async def check(self) -> None:
        for agent, name in enumerate(self.names):
            if self.counted[agent]:
                late = await self.side.cas(name, {"late": True}, self.stale[agent])
                self.expect(late is None, "a compare-and-set with an old version that was not refused")
        found = await self.read_records()
        for agent, name in enumerate(self.names):
            value, version = found.get(name, ({}, 0))
            self.expect(
                value.get("step") == self.counted[agent], "a counter that is not the number of successes"
            )
            self.expect(
                version == self.versions[agent], "a counter without the version that was acknowledged"
            )


class Enqueue(Workload):
    name = "enqueue"
    summary = "add a task"
    needs = frozenset({Facility.TASKS})

    async def prepare(self) -> None:
        await super().prepare()
        self.acknowledged: list[str] = []

    async def step(self, agent: int) -> bool:
        self.acknowledged.append(
            await self.side.enqueue(self.values[len(self.acknowledged) % len(self.keys)])
        )
        return True

    async def check(self) -> None:
        there = Counter(id for id, _ in await self.side.tasks())
        wanted = Counter(self.acknowledged)
        for id, count in wanted.items():
            self.expect(count == 1, "an id that was given to two tasks")
            self.expect(there[id] > 0, "an acknowledged task that is lost")
        for id, count in there.items():
            self.expect(count == 1, "a task that is there twice")
            self.expect(id in wanted, "a task that nobody added")


class ClaimComplete(Workload):
    name = "claim_complete"
    summary = "claim a task and complete it"
    needs = frozenset({Facility.TASKS})

    async def prepare(self) -> None:
        await super().prepare()
        self.filled: dict[str, int] = {}
        self.claimed: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.last: list[HeldTask | None] = [None] * self.agents
        self.workers = [f"agent-{agent}" for agent in range(self.agents)]

    async def refill(self, operations: int) -> None:
        missing = operations + self.agents - (len(self.filled) - self.claimed.total())
        while missing > 0:
            first = len(self.filled)
            numbers = range(first, first + min(missing, CHUNK))
            ids = await self.side.fill([self.values[number % len(self.keys)] for number in numbers])
            self.filled |= zip(ids, numbers, strict=True)
            self.expect(len(self.filled) == numbers.stop, "an id that was given to two tasks")
            missing -= len(numbers)

    async def step(self, agent: int) -> bool:
        task = await self.side.claim(self.workers[agent])
        if task is None:
            return False
        self.claimed[task.id] += 1
        if task.payload != self.values[self.filled.get(task.id, 0) % len(self.keys)]:
            self.faults["a task that is not what was added"] += 1
        if await self.side.complete(task):
            self.completed[task.id] += 1
        else:
            self.faults["a lease that was lost while it was held"] += 1
        self.last[agent] = task
        return True

    async def check(self) -> None:
        for task in filter(None, self.last):
            self.expect(not await self.side.complete(task), "a task that was completed again")
        states = dict(rows := await self.side.tasks())
        self.expect(len(rows) == len(states), "a task that is there twice")
        self.expect(states.keys() == self.filled.keys(), "tasks lost, or added by nobody")
        for id, there in states.items():
            self.expect(self.claimed[id] < 2, "a task that was claimed twice")
            self.expect(self.completed[id] < 2, "a task that was completed twice")
            wanted = "completed" if self.completed[id] else "ready"
            self.expect(there == wanted, f"a task that is {there} and should be {wanted}")


WORKLOADS: dict[str, type[Workload]] = {
    each.name: each
    for each in (Get, GetHot, GetCold, Put, Cas, Enqueue, ClaimComplete, Append, PublishConsume)
}
"""By name, in the order in which they run."""
