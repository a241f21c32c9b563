"""A real server as the cache: killed and started again, frozen, and full, while a hive is at work."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store, open_store
from hive_state_core.embedded import valkey_server
from hive_state_core.spi import Stats

from .conftest import Hybrid

AGENTS = 10


async def agent(hive: Store, number: int, until: asyncio.Event) -> int:
    """Writes its own record and reads it back, and those of others, which never go back; how many rounds."""
    seen = dict.fromkeys(range(AGENTS), 0)
    round = 0
    while not until.is_set():
        round += 1
        await hive.records.put("agents", f"{number}", round)
        for other in (number, round % AGENTS):
            record = await hive.records.get("agents", f"{other}")
            if record is not None:
                assert record.version >= seen[other], "a read went back"
                seen[other] = record.version
                assert other != number or record.value == round
        still = await hive.records.get("agents", "still")
        assert still is not None
    return round


def hits_of(stats: Stats) -> int:
    """What the cache told, to readers and ahead of them."""
    return sum(int(str(stats.backend[name])) for name in ("cache_hits", "cache_hits_ahead"))


async def at_work(choice: Any, disturb: Any) -> dict[str, Any]:
    """What the store says of its cache, when it has calmed down after the disturbance."""
    done = asyncio.Event()
    async with open_store(choice, janitor=False) as hive, asyncio.TaskGroup() as group:
        await hive.records.put("agents", "still", "nobody writes it again")
        agents = [group.create_task(agent(hive, number, done)) for number in range(AGENTS)]
        await asyncio.sleep(0.5)
        await disturb()
        for _ in range(100):
            stats = await hive._driver.stats()
            if stats.cache is not None and stats.cache.connected:
                break
            await asyncio.sleep(0.1)
        before = hits_of(stats)
        await asyncio.sleep(1.5)
        stats = await hive._driver.stats()
        done.set()
        await asyncio.wait(agents)
        assert all(task.result() > 3 for task in agents)
        assert stats.cache is not None
        hits = hits_of(stats)
        return {"cache_connected": stats.cache.connected, "cache_hits": hits, "hits_since": hits - before}


@pytest.fixture(params=["linearizable", "bounded", "session"])
def choose_hybrid(request: pytest.FixtureRequest, hybrid: Hybrid, tmp_path: Path) -> Any:
    def make(fast: str) -> Any:
        url = f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"
        return hybrid(url, fast, consistency=request.param, max_staleness=0.6, near_ttl=0.05)

    return make


async def test_killed_and_started_again(choose_hybrid: Any, valkey: Any) -> None:
    async def disturb() -> None:
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(valkey.start)

    facts = await at_work(choose_hybrid(valkey.url), disturb)
    assert facts["cache_connected"]
    assert facts["hits_since"] > 0


async def test_not_there_at_first(choose_hybrid: Any, valkey: Any) -> None:
    await asyncio.to_thread(valkey.kill)
    facts = await at_work(choose_hybrid(valkey.url), lambda: asyncio.to_thread(valkey.start))
    assert facts["cache_connected"]
    assert facts["hits_since"] > 0


@pytest.mark.skipif(os.environ.get("HIVE_STATE_FAULTS") != "all", reason="takes long: nox -s faults")
async def test_frozen(choose_hybrid: Any, valkey: Any) -> None:
    """It takes calls, and answers them a second later."""

    async def disturb() -> None:
        os.kill(valkey.pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        os.kill(valkey.pid, signal.SIGCONT)

    facts = await at_work(choose_hybrid(valkey.url), disturb)
    assert facts["cache_connected"]
    assert facts["hits_since"] > 0


async def test_full(choose_hybrid: Any) -> None:
    """It takes nothing: the hive works without."""
    settings = {"maxmemory": "1kb", "maxmemory-policy": "noeviction"}

    async def nothing() -> None:
        pass

    with valkey_server(fsync="never written", settings=settings) as server:
        facts = await at_work(choose_hybrid(server.url), nothing)
    assert facts["cache_hits"] == 0


async def test_evicting_all_the_time(choose_hybrid: Any) -> None:
    settings = {"maxmemory": "1500kb", "maxmemory-policy": "allkeys-random"}

    async def nothing() -> None:
        pass

    with valkey_server(fsync="never written", settings=settings) as server:
        assert await at_work(choose_hybrid(server.url), nothing)
