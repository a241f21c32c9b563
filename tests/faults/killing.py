"""A server that is killed under load and started again: nothing that was acknowledged is lost, nothing done
twice, and nothing hangs."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import cycle, islice

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice
from hive_state_core.embedded import Server
from hive_state_core.errors import HiveStateError, Indeterminate, LeaseLost, Unavailable
from hive_state_core.events import Event
from hive_state_core.model import TaskState

KILLS = int(os.environ.get("HIVE_STATE_KILLS") or (20 if os.environ.get("HIVE_STATE_FAULTS") == "all" else 2))
AGENTS = 30


async def audit(hive: Store) -> AsyncIterator[Event]:
    start = 1
    while found := await hive.events.read("audit", start=start, limit=1000):
        for event in found:
            yield event
        start = found[-1].seq + 1


class Load:
    """Agents that go on whatever happens, and what the store has acknowledged to them.

    endured  errors after which they try again; any other ends the agent
    """

    endured: tuple[type[HiveStateError], ...] = (Unavailable, Indeterminate)

    def __init__(self, hive: Store) -> None:
        self.hive = hive
        self.puts: dict[str, int] = {}
        self.tasks: set[str] = set()
        self.done: Counter[str] = Counter()
        self.errors: Counter[type[HiveStateError]] = Counter()
        self.over = False

    async def agent(self, name: str) -> None:
        number = 0
        while not self.over:
            number += 1
            try:
                await self.hive.records.put("agents", name, number)
                self.puts[name] = number
                task = await self.hive.tasks.enqueue("q", number, max_attempts=100)
                self.tasks.add(task.id)
                for lease in await self.hive.tasks.claim("q", worker=name, lease=5):
                    async with self.hive.atomic() as unit:
                        unit.tasks.complete(lease)
                        unit.records.put("effects", f"{lease.id}/{lease.token}", name)
                        unit.events.publish("audit", lease.id)
                    self.done[lease.id] += 1
            except LeaseLost:
                pass
            except self.endured as error:
                self.errors[type(error)] += 1
                await asyncio.sleep(0.05)

    async def check(self) -> None:
        """The store has all that was acknowledged; each task was done once, with all that goes with it."""
        hive = self.hive
        for name, number in self.puts.items():
            record = await hive.records.get("agents", name)
            assert record is not None
            assert record.value >= number
        states = {task.id: task.state async for task in hive.tasks.list()}
        assert self.tasks <= states.keys()
        assert {states[id] for id in self.done} == {TaskState.COMPLETED}
        effects = Counter([record.key.split("/")[0] async for record in hive.records.list("effects")])
        assert set(effects.values()) == {1}
        assert {id for id, state in states.items() if state is TaskState.COMPLETED} == set(effects)
        events = [event async for event in audit(hive)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert sorted(event.body for event in events) == sorted(effects)


async def kill_under_load(servers: Sequence[Server], store: str | Choice) -> Load:
    """Agents at work while their servers are killed in turn, again and again; they go on without opening
    anew."""
    async with open_store(store) as hive:
        load = Load(hive)
        agents = [asyncio.create_task(load.agent(f"a{n}")) for n in range(AGENTS)]
        for server in islice(cycle(servers), KILLS):
            await asyncio.sleep(1)
            before = sum(load.puts.values())
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(30):
                while sum(load.puts.values()) < before + 100:
                    await asyncio.sleep(0.05)
        load.over = True
        async with asyncio.timeout(30):
            await asyncio.gather(*agents)
        assert load.errors
        await load.check()
    return load
