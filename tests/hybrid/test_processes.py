"""Real processes and real servers: readers and writers that are late, cut off and killed, servers that evict
and are killed. No process is told less than its level allows, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from hive_state_core import open_store
from hive_state_core.choosing import Choice
from hive_state_core.embedded import postgres_server
from hive_state_core.features import Consistency
from tests.faults.killing import kill_under_load

from .conftest import Hybrid
from .history import Told, too_old
from .race_process import calls_of

pytestmark = [
    pytest.mark.no_cover,  # the processes would be too slow
    pytest.mark.skipif(os.environ.get("HIVE_STATE_FAULTS") != "all", reason="takes minutes: nox -s faults"),
]

ROOT = Path(__file__).parents[2]
PROCESSES = 4
BOUND = 0.6


@pytest.fixture(params=list(Consistency), ids=[level.name.lower() for level in Consistency])
def level(request: pytest.FixtureRequest) -> Consistency:
    return request.param


class Crew:
    """Processes at work; whoever dies is replaced. `told` is what they were told, when they have ended."""

    def __init__(self, choice: Choice, folder: Path, *, dies: bool = True, weaken: str = "") -> None:
        self._arguments = [*(["--dies"] if dies else []), *(["--weaken", weaken] if weaken else [])]
        self._config = choice.config.path
        self._folder = folder
        self._seeds = count(1)
        self.died = 0

    async def work(self, seconds: float) -> list[Told]:
        """What they were told, in the end."""
        until = monotonic() + seconds
        async with asyncio.TaskGroup() as processes:
            for _ in range(PROCESSES):
                processes.create_task(self._process(until))
        return [told for file in self._folder.glob("*.told") for told in calls_of(file)]

    async def _process(self, until: float) -> None:
        while (left := until - monotonic()) > 0:
            seed = next(self._seeds)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.hybrid.race_process", self._config),
                *(self._folder / f"{seed}.told", f"--seed={seed}", f"--seconds={left}", *self._arguments),
                cwd=ROOT,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, said = await asyncio.wait_for(process.communicate(), left + 30)
            except BaseException:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                raise
            assert process.returncode in (0, -9), said.decode()[-2000:]
            self.died += process.returncode != 0


@asynccontextmanager
async def evicting(url: str) -> AsyncIterator[None]:
    """The server forgets something, whatever it is, a hundred times a second."""
    async with redis.asyncio.from_url(url) as server:

        async def evict() -> None:
            while True:
                with suppress(redis.exceptions.RedisError):
                    key = await server.randomkey()
                    await (server.delete(key) if key else asyncio.sleep(0))
                await asyncio.sleep(0.01)

        task = asyncio.create_task(evict())
        yield
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def hybrid_at(durable_url: str, valkey_url: str, hybrid: Hybrid) -> Callable[[Consistency], Choice]:
    return lambda level: tight(hybrid, level, durable_url, valkey_url)


def tight(hybrid: Hybrid, level: Consistency, durable: str, fast: str) -> Choice:
    return hybrid(durable, fast, consistency=level.name.lower(), max_staleness=BOUND, near_ttl=0.1)


@pytest.mark.timeout(180)
async def test_no_read_is_too_old(
    level: Consistency, hybrid_at: Callable[[Consistency], Choice], valkey_url: str, tmp_path: Path
) -> None:
    crew = Crew(hybrid_at(level), tmp_path)
    async with evicting(valkey_url):
        history = await crew.work(15)
    assert len(history) > 100  # a busy machine does few
    assert crew.died
    assert too_old(history, level, BOUND) == []


NOTICED = [
    *[
        (Consistency.LINEARIZABLE, rule)
        for rule in ("guarded", "write_voids", "write_waits", "read_waits", "fence_heard", "off_when_waited")
    ],
    *[(Consistency.BOUNDED, rule) for rule in ("near_ends", "owes")],
    (Consistency.SESSION, "near_yields"),
]
"""Without these it goes wrong again and again; without the others too rarely to wait for it."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("level", "weaken"), NOTICED, ids=[weaken for _, weaken in NOTICED])
async def test_a_read_that_is_too_old_is_noticed(
    level: Consistency, weaken: str, hybrid_at: Callable[[Consistency], Choice], tmp_path: Path
) -> None:
    """The processes meet what the rules are for; each rule by itself is the matter of `test_weakened.py`."""
    crew = Crew(hybrid_at(level), tmp_path, dies=False, weaken=weaken)
    while not too_old(await crew.work(5), level, BOUND):
        pass


@pytest.mark.timeout(400)
async def test_both_servers_are_killed_in_turn(
    level: Consistency, valkey: Any, hybrid: Hybrid, tmp_path: Path
) -> None:
    with postgres_server() as server:
        await open_store(server.url)._driver.schema("upgrade")
        choice = tight(hybrid, level, server.url, valkey.url)
        crew = asyncio.create_task(Crew(choice, tmp_path, dies=False).work(60))
        try:
            await kill_under_load([server, valkey], choice)
            history = await crew
        finally:
            crew.cancel()
            await asyncio.wait({crew})
    assert len(history) > 100  # a busy machine does few
    assert too_old(history, level, BOUND) == []
