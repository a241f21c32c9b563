"""The server's memory is full while agents work, and then it is not any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from hive_state_core import open_store
from hive_state_core.embedded import Server
from hive_state_core.errors import StoreFull
from tests.faults.killing import AGENTS, Load

ROOM = 100_000
"""Bytes that are left when the bound is set."""


class FullLoad(Load):
    endured = (StoreFull,)


@asynccontextmanager
async def at_work(load: Load) -> AsyncIterator[None]:
    """Agents, none of which ends before the block does."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        agents = [group.create_task(load.agent(f"a{n}")) for n in range(AGENTS)]
        yield
        assert not any(agent.done() for agent in agents)
        load.over = True


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_memory_that_is_full_for_a_while(server: Server) -> None:
    """Each write says so and does nothing, reads go on, and all goes on by itself once there is room."""
    async with open_store(server.url, janitor=False) as hive:
        load, driver = FullLoad(hive), cast(Any, hive._driver)
        link = driver._caller.link
        async with at_work(load):
            await until(lambda: len(load.puts) == AGENTS and bool(load.done))
            (memory,) = (await hive.stats()).memory.values()
            await link.call("CONFIG", "SET", "maxmemory", str(memory.used + ROOM))
            await until(lambda: load.errors[StoreFull] > 3 * AGENTS)
            assert await hive.records.get("agents", "a0") is not None
            await link.call("CONFIG", "SET", "maxmemory", "0")
            failed, done = load.errors[StoreFull], sum(load.done.values())
            await until(lambda: sum(load.done.values()) > done + AGENTS)
        assert load.errors[StoreFull] <= failed + AGENTS  # those that were refused before there was room
        await load.check()
