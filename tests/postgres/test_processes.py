"""Eight processes on one hot key and one hot queue; a server that is killed under load."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import HiveStateError, Indeterminate, LeaseLost, Unavailable
from hive_state_core.events import Event
from hive_state_core.model import TaskState

PROGRAM = Path(__file__).with_name("race_process.py")
SECONDS = float(os.environ.get("HIVE_STATE_SOAK_SECONDS", "4"))
KILLS = int(os.environ.get("HIVE_STATE_KILLS", "2"))


async def race(url: str, processes: int) -> Counter[str]:
    """What that many processes of six agents each did and saw in so many seconds."""
    command = [sys.executable, str(PROGRAM), url]
    running = [
        subprocess.Popen([*command, str(seed), str(SECONDS)], stdout=subprocess.PIPE)
        for seed in range(processes)
    ]
    said: Counter[str] = Counter()
    for process in running:
        out, _ = await asyncio.to_thread(process.communicate)
        said.update(json.loads(out))
    return said


async def deadlocks(url: str) -> int:
    """That the server has seen; what sessions count reaches the view when they end."""
    db = await asyncpg.connect(url.partition("?")[0])
    found = await db.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    await db.close()
    return int(found)


@pytest.mark.timeout(120)
async def test_eight_processes(url: str) -> None:
    async with open_store(url) as hive:
        await hive.events.create_group("audit", "g", start="beginning")
    before = await deadlocks(url)
    alone = await race(url, 1)
    together = await race(url, 8)
    said = alone + together
    assert not [word for word in said if word.startswith("error")]
    assert await deadlocks(url) == before
    assert together["rounds"] > alone["rounds"] / 2  # no convoy, on a machine that all of them share
    async with open_store(url) as hive:
        record = await hive.records.get("hot", "counter")
        assert record is not None
        assert record.value == said["counted"] > 0
        done = [record.key async for record in hive.records.list("done")]
        completed = [task.id async for task in hive.tasks.list(states=[TaskState.COMPLETED])]
        assert sorted(done) == sorted(completed)
        assert len(done) == said["done"] > 0
        events = [event async for event in audit(hive)]
        assert sorted(event.body for event in events) == sorted(done)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        delivered = [record.key async for record in hive.records.list("delivered")]
        assert len(delivered) == said["delivered"] > 0


async def audit(hive: Store) -> AsyncIterator[Event]:
    start = 1
    while found := await hive.events.read("audit", start=start, limit=1000):
        for event in found:
            yield event
        start = found[-1].seq + 1


class Load:
    """Agents that go on whatever happens, and what the store has acknowledged to them."""

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
            except (Unavailable, Indeterminate) as error:
                self.errors[type(error)] += 1
                await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_a_server_that_is_killed(server: Any) -> None:
    await open_store(server.url)._driver.schema("upgrade")
    async with open_store(server.url) as hive:
        load = Load(hive)
        agents = [asyncio.create_task(load.agent(f"a{n}")) for n in range(30)]
        for _ in range(KILLS):
            await asyncio.sleep(1)
            before = sum(load.puts.values())
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)
            while sum(load.puts.values()) < before + 100:  # goes on without being opened again
                await asyncio.sleep(0.05)
        load.over = True
        await asyncio.gather(*agents)
        assert load.errors
        for name, number in load.puts.items():
            record = await hive.records.get("agents", name)
            assert record is not None
            assert record.value >= number
        states = {task.id: task.state async for task in hive.tasks.list()}
        assert load.tasks <= states.keys()
        assert {states[id] for id in load.done} == {TaskState.COMPLETED}
        effects = Counter([record.key.split("/")[0] async for record in hive.records.list("effects")])
        assert set(effects.values()) == {1}
        assert {id for id, state in states.items() if state is TaskState.COMPLETED} == set(effects)
        events = [event async for event in audit(hive)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert sorted(event.body for event in events) == sorted(effects)
