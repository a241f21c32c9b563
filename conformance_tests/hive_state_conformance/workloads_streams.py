"""The workloads of `hive-state bench` on one stream, which all agents share: the hot audit log of a hive."""

from __future__ import annotations

from collections import Counter

from hive_state_conformance.workloads_base import Workload
from hive_state_core.baselines import HeldEvent
from hive_state_core.codec import Json
from hive_state_core.features import Facility


class Append(Workload):
    name = "append"
    summary = "add an event to the stream that all agents share"
    needs = frozenset({Facility.STREAMS})

    async def prepare(self) -> None:
        self.published: dict[int, Json] = {}

    async def step(self, agent: int) -> bool:
        await self.publish()
        return True

    async def publish(self) -> None:
        body = self.values[len(self.published) % len(self.values)]
        seq = await self.side.append(body)
        if seq in self.published:
            self.faults["a seq that was given to two events"] += 1
        self.published[seq] = body

    async def check(self) -> None:
        there = await self.side.events()
        self.expect([seq for seq, _ in there] == list(range(1, len(there) + 1)), "a gap in the seqs")
        self.expect(dict(there) == self.published, "events that are not what was acknowledged")


class PublishConsume(Append):
    name = "publish_consume"
    summary = "publish an event, then consume one of the group's and ack it"

    async def prepare(self) -> None:
        await super().prepare()
        self.taken: Counter[int] = Counter()
        self.acked = 0
        self.last: list[HeldEvent | None] = [None] * self.agents
        self.workers = [f"agent-{agent}" for agent in range(self.agents)]

    async def step(self, agent: int) -> bool:
        await self.publish()
        event = await self.side.take(self.workers[agent])
        if event is None:
            self.faults["an event that is there and is handed to nobody"] += 1
            return True
        self.taken[event.seq] += 1
        if await self.side.ack(event):
            self.acked += 1
        else:
            self.faults["a delivery that was lost while it was held"] += 1
        self.last[agent] = event
        return True

    async def check(self) -> None:
        await super().check()
        for event in filter(None, self.last):
            self.expect(not await self.side.ack(event), "a delivery that was acked again")
        self.expect(all(count == 1 for count in self.taken.values()), "an event that was handed out twice")
        self.expect(
            sorted(self.taken) == list(range(1, len(self.taken) + 1)), "an event that was passed over"
        )
        self.expect(await self.side.unfinished() == len(self.published) - self.acked, "an ack that is gone")
