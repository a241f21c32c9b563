"""Eight processes on one hot key and one hot queue; a server that is killed under load."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import open_store
from hive_state_core.model import TaskState
from tests.faults.killing import audit, kill_under_load

PROGRAM = Path(__file__).with_name("race_process.py")
SECONDS = float(os.environ.get("HIVE_STATE_SOAK_SECONDS", "4"))


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


@pytest.mark.timeout(120)
async def test_a_server_that_is_killed(server: Any) -> None:
    await open_store(server.url)._driver.schema("upgrade")
    await kill_under_load([server], server.url)
