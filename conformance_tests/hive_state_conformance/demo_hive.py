"""The workload of `demo`: agents at work on one store. It is fixed; a change of it changes `WORKLOAD`.

Each agent awaits one call after the other:

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
from array import array
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from hive_state_conformance.workloads_values import state
from hive_state_core.errors import HiveStateError
from hive_state_core.histogram import Histogram
from hive_state_core.leases import Lease
from hive_state_core.store import Store

WORKLOAD = "hive-demo/1"
RECORDS = 1000
"""Records of agents; more agents than that have one each."""

AGENTS, EFFECTS, QUEUE = "agents", "effects", "work"
"""The collections and the queue."""

LEASE_SECONDS = 60
FOREVER = float("inf")

Answer = TypeVar("Answer")

if TYPE_CHECKING:
    Seen: TypeAlias = array[int] | memoryview[int]


class Told(msgspec.Struct, tag=True):
    """What agents were told by the store; `add` puts those of several processes together.

    records      key -> value and version, as acknowledged last
    enqueued     ids of tasks; `finished`: of those that were completed
    wrong_reads  reads that gave another's record, or an older one than had to be seen
    took         durations of the calls, by their kind
    errors       calls that failed
    """

    records: dict[str, tuple[dict[str, Any], int]] = msgspec.field(default_factory=dict)
    enqueued: list[str] = msgspec.field(default_factory=list)
    finished: list[str] = msgspec.field(default_factory=list)
    wrong_reads: int = 0
    took: dict[str, Histogram] = msgspec.field(default_factory=dict)
    errors: list[str] = msgspec.field(default_factory=list)

    @property
    def operations(self) -> int:
        return sum(found.calls for found in self.took.values())

    def add(self, other: Told) -> None:
        self.records.update(other.records)
        self.enqueued += other.enqueued
        self.finished += other.finished
        self.wrong_reads += other.wrong_reads
        self.errors += other.errors
        for kind, found in other.took.items():
            self.took.setdefault(kind, Histogram()).add(found)


class Share(msgspec.Struct, frozen=True):
    """Which of the records, and of the agents, a process has: every `of`-th, from `first` on."""

    first: int = 0
    of: int = 1


ALL = Share()


class Hive:
    """The agents of a process, and what they were told by the store.

    seen   by the number of a record the version that a read has to find at least; of several processes, if
           they share it
    think  seconds for which an agent does nothing after each call, on an average
    until  when the agents stop
    """

    def __init__(
        self,
        store: Store,
        agents: int,
        records: int = RECORDS,
        share: Share = ALL,
        seen: Seen | None = None,
        think: float = 0.0,
    ) -> None:
        self.store = store
        self.think = think
        self.keys = [key_of(number) for number in range(max(records, agents))]
        self.seen = array("q", bytes(8 * len(self.keys))) if seen is None else seen
        self.versions = dict.fromkeys(range(share.first, len(self.keys), share.of), 0)
        self.agents = [Agent(self, number) for number in self.versions if number < agents]
        self.latencies: dict[str, list[float]] = {"read": [], "write": [], "claim": []}
        self.enqueued: list[str] = []
        self.finished: list[str] = []
        self.errors: list[HiveStateError] = []
        self.wrong_reads = 0
        self.until = FOREVER
        self.longest = 0.0
        self._under_way: dict[Awaitable[Any], float] = {}

    @property
    def operations(self) -> int:
        return sum(map(len, self.latencies.values()))

    @property
    def oldest(self) -> float:
        """When the call began that is under way for the longest; now, if there is none."""
        return next(iter(self._under_way.values()), perf_counter())

    async def prepare(self) -> None:
        """Write the first state of every record of this process."""
        numbers = list(self.versions)
        for start in range(0, len(numbers), RECORDS):
            some = numbers[start : start + RECORDS]
            values = {self.keys[number]: state(number) for number in some}
            version = await self.store.records.put_many(AGENTS, values)
            self.acknowledged(some, version or 0)

    async def work(self, seconds: float = FOREVER) -> float:
        """Let the agents work, for so long or until they are stopped; the seconds that it took."""
        start = perf_counter()
        self.until = start + seconds
        async with asyncio.TaskGroup() as group:
            for agent in self.agents:
                group.create_task(agent.live())
        return perf_counter() - start

    def stop(self) -> None:
        """Let each agent end with the call that it is at."""
        self.until = 0.0

    async def timed(self, kind: str, call: Awaitable[Answer]) -> Answer:
        """The answer of a call, whose time is kept."""
        self._under_way[call] = begin = perf_counter()
        try:
            answer = await call
        finally:
            del self._under_way[call]
        took = perf_counter() - begin
        self.longest = max(self.longest, took)
        self.latencies[kind].append(took)
        return answer

    def acknowledged(self, numbers: Iterable[int], version: int) -> None:
        """These records have this version now. Each is written by one agent alone, so it only grows."""
        for number in numbers:
            self.versions[number] = self.seen[number] = version

    def told(self) -> Told:
        values = {number: state(number) for number in self.versions}
        values |= {agent.number: agent.value for agent in self.agents}
        return Told(
            records={self.keys[n]: (value, self.versions[n]) for n, value in values.items()},
            enqueued=self.enqueued,
            finished=self.finished,
            wrong_reads=self.wrong_reads,
            took={kind: histogram_of(seconds) for kind, seconds in self.latencies.items()},
            errors=list(map(str, self.errors)),
        )


class Agent:
    """`value` of its record is what the store acknowledged last."""

    def __init__(self, hive: Hive, number: int) -> None:
        self.hive = hive
        self.number = number
        self.key = key_of(number)
        self.value: dict[str, Any] = state(number)
        self.random = random.Random(number).random

    async def live(self) -> None:
        """Until it is stopped, or the first call that fails."""
        try:
            while perf_counter() < self.hive.until:
                await self._choose(self.random())()
                if self.hive.think:
                    await asyncio.sleep(self.hive.think * 2 * self.random())
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
        number = int(self.random() * len(hive.keys))
        key, least = hive.keys[number], hive.seen[number]
        record = await hive.timed("read", hive.store.records.get(AGENTS, key))
        if record is None or record.value["agent"] != key or record.version < least:
            hive.wrong_reads += 1

    async def _update(self) -> None:
        value = self._next_value()
        call = self.hive.store.records.put(AGENTS, self.key, value, if_version=self._version)
        self._acknowledged(value, await self.hive.timed("write", call))

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
            version = unit.records.put(AGENTS, self.key, value, if_version=self._version)
            unit.records.put(EFFECTS, f"{lease.id}:{lease.token}", effect, if_absent=True)
        self._acknowledged(value, version.result)
        self.hive.finished.append(lease.id)

    @property
    def _version(self) -> int:
        return self.hive.versions[self.number]

    def _acknowledged(self, value: dict[str, Any], version: int) -> None:
        self.value = value
        self.hive.acknowledged((self.number,), version)

    def _next_value(self) -> dict[str, Any]:
        return {**self.value, "step": self.value["step"] + 1}


def key_of(number: int) -> str:
    return str(state(number)["agent"])


def histogram_of(seconds: Iterable[float]) -> Histogram:
    found = Histogram()
    for each in seconds:
        found.note(each)
    return found
