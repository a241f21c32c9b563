"""The store on PostgreSQL is full, hangs, or its answer is lost, while a hive moves from it or to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hive_state_core import Store, open_store
from hive_state_core.embedded import postgres_server
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker
from hive_state_core.spi import PEER
from tests.migration.sides import Sides

from .hive import ALL
from .proxy import Proxy

pytestmark = pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: each starts a server")


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    async with postgres_server() as server:
        yield server


FULL_DISK = Path(__file__).with_name("full_disk.py")


def local(folder: Path) -> str:
    return f"sqlite:///{folder}/one.db"


@asynccontextmanager
async def working(sides: Sides) -> AsyncIterator[None]:
    """Somebody sends what is marked."""
    async with sides.live() as live:
        worker = asyncio.create_task(Worker(live).run())
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.wait({worker})


async def require_equal(sides: Sides) -> None:
    await sides.drained()
    ours, theirs = await sides.exports()
    assert ours == theirs


async def marked(sides: Sides) -> int:
    async with sides.live() as live:
        return len(await live.source.marks(PEER, 1000))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.1)


async def put_many(hive: Store, tag: str) -> None:
    for n in range(30):
        await hive.records.put("c", f"{tag}-{n}", n)


async def test_the_answer_to_a_commit_is_lost(tmp_path: Path, server: Any) -> None:
    """It is asked how that ended: what was done is done once, and marked."""
    await open_store(server.url).upgrade_schema()
    async with Proxy(server.url) as proxy:
        sides = Sides.of(proxy.url, local(tmp_path))
        await sides.reach(Phase.COPIED)
        async with sides.open("local") as hive:
            await hive.records.put("c", "a", 0)
            for n in range(5):
                proxy.lost = b"payload-%d" % n
                task = await hive.tasks.enqueue("q", f"payload-{n}")
                assert proxy.lost is None
                proxy.lost = task.id.encode()
                (lease,) = await hive.tasks.claim("q", worker="w")
                await hive.tasks.complete(lease)
                assert proxy.lost is None
            assert await hive.tasks.count(queue="q") == 5
        await require_equal(sides)


async def test_the_answer_to_a_load_is_lost(tmp_path: Path, server: Any) -> None:
    """It is sent once more, and is no poison."""
    async with Proxy(server.url) as proxy:
        sides = Sides.of(local(tmp_path), proxy.url)
        await sides.reach(Phase.COPIED)
        async with sides.open("local") as hive, working(sides):
            for n in range(5):
                proxy.lost = b"lost-%d" % n
                await put_many(hive, f"lost-{n}")
                await until(lambda: _is_none(proxy))
            await until(lambda: _none_marked(sides))
        await require_equal(sides)


async def _is_none(proxy: Proxy) -> bool:
    return proxy.lost is None


async def _none_marked(sides: Sides) -> bool:
    return not await marked(sides)


async def test_the_other_store_hangs(tmp_path: Path, server: Any) -> None:
    """It takes connections, and answers nothing. Nobody waits for it, and nothing is lost."""
    async with Proxy(server.url) as proxy:
        sides = Sides.of(local(tmp_path), f"{proxy.url}?command_timeout=1")
        await sides.reach(Phase.COPIED)
        async with sides.open("local") as hive, working(sides):
            await put_many(hive, "before")
            proxy.flows.clear()
            for n in range(5):
                async with asyncio.timeout(10):
                    await put_many(hive, f"meanwhile-{n}")
                await asyncio.sleep(1)
            proxy.flows.set()
            await until(lambda: _none_marked(sides))
        await require_equal(sides)


async def test_the_other_store_is_full(tmp_path: Path, server: Any) -> None:
    """What changes waits, and is no poison; once there is room it is sent."""
    sides = Sides.of(local(tmp_path), server.url)
    await sides.reach(Phase.COPIED)
    db = await asyncpg.connect(server.url)
    try:
        await db.execute(
            "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$;"
            "CREATE TRIGGER is_full BEFORE INSERT ON hive_state.records EXECUTE FUNCTION full()"
        )
        async with sides.open("local") as hive, working(sides):
            await put_many(hive, "meanwhile")
            await asyncio.sleep(2)
            assert await marked(sides) == 30
            await db.execute("DROP TRIGGER is_full ON hive_state.records")
            await until(lambda: _none_marked(sides))
    finally:
        await db.close()
    await require_equal(sides)


def test_the_other_disk_is_full(tmp_path: Path) -> None:
    """A real one, which root alone may make."""
    alone = ["unshare", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    ended = subprocess.run(
        [*alone, sys.executable, str(FULL_DISK), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(FULL_DISK.parents[3])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
