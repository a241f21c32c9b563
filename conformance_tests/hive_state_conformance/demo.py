"""`demo`: a hive of agents at work on one store for some seconds, and an audit of what is there afterwards.

The workload is fixed; a change of it changes `WORKLOAD`. Each agent awaits one call after the other:

    60 %  read the record of any agent
    20 %  update its own record, by compare-and-set
    10 %  enqueue a task
    10 %  claim a task and finish it: complete it, update the own record, and write an effect record whose
          key is the task's id and the lease's token, all in one `atomic()`

Nothing is tried again: an agent whose call fails stops, and the failure is counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar

import msgspec

from hive_state_conformance.demo_audit import AGENTS, EFFECTS, QUEUE, Findings, audit
from hive_state_conformance.harness import driver_of
from hive_state_conformance.latency import Latency, latency_of
from hive_state_conformance.workloads_scratch import scratch, witness
from hive_state_conformance.workloads_values import state
from hive_state_core.choosing import Choice
from hive_state_core.errors import HiveStateError
from hive_state_core.leases import Lease
from hive_state_core.store import Store

WORKLOAD = "hive-demo/1"
RECORDS = 1000
"""Records of agents; more agents than that have one each."""

LEASE_SECONDS = 60

Answer = TypeVar("Answer")


class Report(msgspec.Struct, kw_only=True):
    """`tasks_enqueued`, `operations` and `errors` are what the agents know, the rest was read from the store.

    lost        acknowledged tasks that are in no state
    duplicates  tasks with more than one effect record
    torn        units of which only a part is there: a completed task without an effect record, an effect of
                a task that is not completed, or an acknowledged completion that is gone
    cache_hit_ratio  of the reads of single records, from 0 to 1; None for a store without a cache
    stale       records that are not what their agent wrote last, and reads that gave another's record
    """

    url: str
    workload: str
    agents: int
    seconds: float
    operations: int
    ops_per_s: float
    tasks_enqueued: int
    tasks_completed: int
    lost: int
    duplicates: int
    torn: int
    stale: int
    errors: int
    first_error: str | None
    latency_ms: dict[str, Latency]
    cache_hit_ratio: float | None = None

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicates or self.torn or self.stale or self.errors)


class Hive:
    """The agents of a run, and what they were told by the store."""

    def __init__(self, store: Store, agents: int) -> None:
        self.store = store
        self.agents = [Agent(self, number) for number in range(agents)]
        self.keys = [key_of(number) for number in range(max(RECORDS, agents))]
        self.latencies: dict[str, list[float]] = {"read": [], "write": [], "claim": []}
        self.enqueued: list[str] = []
        self.finished: list[str] = []
        self.errors: list[HiveStateError] = []
        self.wrong_reads = 0

    @property
    def operations(self) -> int:
        return sum(map(len, self.latencies.values()))

    async def prepare(self) -> None:
        """Write the first state of every record."""
        for start in range(0, len(self.keys), RECORDS):
            numbers = range(start, min(start + RECORDS, len(self.keys)))
            values = {self.keys[number]: state(number) for number in numbers}
            version = await self.store.records.put_many(AGENTS, values)
            for agent in self.agents[start : numbers.stop]:
                agent.version = version or 0

    async def work(self, seconds: float) -> float:
        """Let the agents work; the seconds that it took."""
        start = perf_counter()
        async with asyncio.TaskGroup() as group:
            for agent in self.agents:
                group.create_task(agent.live(start + seconds))
        return perf_counter() - start

    async def timed(self, kind: str, call: Awaitable[Answer]) -> Answer:
        """The answer of a call, whose time is kept."""
        begin = perf_counter()
        answer = await call
        self.latencies[kind].append(perf_counter() - begin)
        return answer


class Agent:
    """`value` and `version` of its record are what the store acknowledged last."""

    def __init__(self, hive: Hive, number: int) -> None:
        self.hive = hive
        self.number = number
        self.key = key_of(number)
        self.value: dict[str, Any] = state(number)
        self.version = 0
        self.random = random.Random(number).random

    async def live(self, until: float) -> None:
        """Until then, or the first call that fails."""
        try:
            while perf_counter() < until:
                await self._choose(self.random())()
        except HiveStateError as error:
            self.hive.errors.append(error)

    def _choose(self, chance: float) -> Callable[[], Awaitable[None]]:
        if chance < 0.6:
            return self._read
        if chance < 0.8:
            return self._update
        return self._enqueue if chance < 0.9 else self._claim

    async def _read(self) -> None:
        hive = self.hive
        key = hive.keys[int(self.random() * len(hive.keys))]
        record = await hive.timed("read", hive.store.records.get(AGENTS, key))
        if record is None or record.value["agent"] != key:
            hive.wrong_reads += 1

    async def _update(self) -> None:
        value = self._next_value()
        call = self.hive.store.records.put(AGENTS, self.key, value, if_version=self.version)
        self.version = await self.hive.timed("write", call)
        self.value = value

    async def _enqueue(self) -> None:
        call = self.hive.store.tasks.enqueue(QUEUE, {"from": self.key, "state": self.value})
        self.hive.enqueued.append((await self.hive.timed("write", call)).id)

    async def _claim(self) -> None:
        call = self.hive.store.tasks.claim(QUEUE, worker=self.key, lease=LEASE_SECONDS)
        for lease in await self.hive.timed("claim", call):
            await self.hive.timed("write", self._finish(lease))

    async def _finish(self, lease: Lease) -> None:
        value = self._next_value()
        effect = {"task": lease.id, "by": self.key, "for": lease.payload["from"]}
        async with self.hive.store.atomic() as unit:
            unit.tasks.complete(lease)
            version = unit.records.put(AGENTS, self.key, value, if_version=self.version)
            unit.records.put(EFFECTS, f"{lease.id}:{lease.token}", effect, if_absent=True)
        self.value, self.version = value, version.result
        self.hive.finished.append(lease.id)

    def _next_value(self) -> dict[str, Any]:
        return {**self.value, "step": self.value["step"] + 1}


def key_of(number: int) -> str:
    return str(state(number)["agent"])


Watch = Callable[[Hive, float], None]
"""Is shown the hive and the seconds since its start, now and then."""


async def run(
    where: str | Choice, agents: int, seconds: float, watch: Watch | None = None, every: float = 1.0
) -> Report:
    """The whole demo, in a namespace of its own that is dropped afterwards."""
    async with scratch(where, "demo") as store:
        hive = Hive(store, agents)
        await hive.prepare()
        async with _watched(hive, watch, every):
            took = await hive.work(seconds)
        cache = (await driver_of(store).stats()).cache
        async with witness(where, store) as seen:
            findings = await audit(seen, hive)
        return _report(hive, took, findings, cache.hit_ratio if cache else None)


@asynccontextmanager
async def _watched(hive: Hive, watch: Watch | None, every: float) -> AsyncIterator[None]:
    async def look() -> None:
        start = perf_counter()
        while watch is not None:
            await asyncio.sleep(every)
            watch(hive, perf_counter() - start)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def _report(hive: Hive, took: float, findings: Findings, hit_ratio: float | None) -> Report:
    return Report(
        url=str(hive.store.url),
        workload=WORKLOAD,
        agents=len(hive.agents),
        seconds=round(took, 3),
        operations=hive.operations,
        ops_per_s=round(hive.operations / took, 1),
        tasks_enqueued=len(hive.enqueued),
        tasks_completed=findings.completed,
        lost=findings.lost,
        duplicates=findings.duplicates,
        torn=findings.torn,
        stale=findings.stale,
        errors=len(hive.errors),
        first_error=str(hive.errors[0]) if hive.errors else None,
        latency_ms={kind: latency_of(found) for kind, found in hive.latencies.items()},
        cache_hit_ratio=None if hit_ratio is None else round(hit_ratio, 4),
    )
