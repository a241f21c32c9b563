"""What a server or its administrator does to a store that is open: said in one sentence, and survived."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import msgspec
import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import HiveStateError, Indeterminate, StoreFull, Unavailable
from hive_state_core.model import RecordRef, StreamRef
from hive_state_core.spi import Append, Batch
from hive_state_core.url import parse_url


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Any]:
    """A connection beside the store's."""
    db = await asyncpg.connect(url.partition("?")[0])
    yield db
    await db.close()


async def refused(call: Any) -> HiveStateError:
    with pytest.raises(HiveStateError) as caught:
        await call
    assert "\n" not in str(caught.value)
    return caught.value


async def test_all_connections_of_the_store_are_busy(url: str) -> None:
    async with open_store(f"{url}&max_connections=1&command_timeout=0.3") as hive:
        taken = await hive._driver._pool.take()
        for call in (hive.records.get("c", "k"), hive.records.put("c", "k", 1)):
            error = await refused(call)
            assert isinstance(error, Unavailable)
            assert "all 1 connections were busy" in str(error)
        hive._driver._pool.give_back(taken)
        await hive.records.put("c", "k", 1)


async def test_others_hold_what_is_needed(url: str, admin: Any) -> None:
    schema = parse_url(url).options["schema"]
    async with open_store(f"{url}&command_timeout=0.3") as hive:
        await hive.records.put("c", "k", 1)
        async with admin.transaction():
            await admin.execute(f"SELECT 1 FROM {schema}.records FOR UPDATE")
            error = await refused(hive.records.put("c", "k", 2))
            assert isinstance(error, Unavailable)
            assert "command_timeout" in str(error)
        record = await hive.records.get("c", "k")
        assert record is not None
        assert record.value == 1


async def test_the_server_is_silent_for_too_long(hive: Store) -> None:
    pool = hive._driver._pool
    options = pool._options
    pool._options = msgspec.structs.replace(options, command_timeout=-4.8)  # and 5 seconds
    for writes, kind in ((True, Indeterminate), (False, Unavailable)):
        error = await refused(pool.run(lambda db: db.fetch("SELECT pg_sleep(9)"), writes=writes))
        assert type(error) is kind
        assert "broke" in str(error)
    pool._options = options
    await hive.records.put("c", "k", 1)


async def test_the_server_has_no_connection_left(server_url: str, url: str, admin: Any) -> None:
    role = f"few_{parse_url(url).options['schema']}"
    await admin.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'p' CONNECTION LIMIT 1")
    few = re.sub(r"//.*?@", f"//{role}:p@", url)
    await admin.execute(f"ALTER ROLE {role} NOSUPERUSER")
    one = await asyncpg.connect(few.partition("?")[0])
    error = await refused(open_store(few).open())
    assert isinstance(error, Unavailable)
    assert "no connection left" in str(error)
    await one.close()


async def test_a_full_disk(hive: Store, url: str, admin: Any) -> None:
    """Nothing of the write is done; when there is room again it is done without opening anew."""
    schema = parse_url(url).options["schema"]
    await hive.records.put("c", "k", 1)
    await admin.execute(
        f"CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$;"
        f"CREATE TRIGGER is_full BEFORE INSERT ON {schema}.events EXECUTE FUNCTION {schema}.full()"
    )
    unit = hive.atomic()
    unit.records.put("c", "k", 2)
    unit.events.publish("s", 1)
    assert isinstance(await refused(unit.commit()), StoreFull)
    record = await hive.records.get("c", "k")
    assert record is not None
    assert record.value == 1
    await admin.execute(f"DROP TRIGGER is_full ON {schema}.events")
    assert await hive.events.publish("s", 1) == 1


async def test_sessions_that_an_administrator_ends(hive: Store, admin: Any) -> None:
    """Whoever is asleep notices nothing; a call under way is told the truth."""
    for number in range(5):
        await hive.records.put("c", "k", number)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'hive-state' AND pid <> pg_backend_pid()"
        )
        record = await hive.records.get("c", "k")
        assert record is not None
        assert record.value == number


async def test_the_session_that_listens_is_ended(url: str, admin: Any) -> None:
    """Until it listens again it looks by itself, and nobody sleeps through a change."""
    async with open_store(url) as one, open_store(f"{url}&application_name=ears") as two:

        async def woken(seconds: float) -> bool:
            waiting = asyncio.create_task(two._driver.wait(frozenset([StreamRef("s")]), int(seconds * 1000)))
            await asyncio.sleep(0.1)
            await one._driver.commit([Batch((Append(StreamRef("s"), b"1"),))], uuid4().hex)
            return bool(await waiting)

        listening = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ears' AND query LIKE 'LISTEN%'"
        )
        assert await woken(10)
        for _ in range(3):
            async with asyncio.timeout(10):
                while not await admin.fetchval(listening):
                    await asyncio.sleep(0.05)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ears'"
            )
            assert await woken(10)


async def test_a_server_that_is_shut_down_and_started(server: Any) -> None:
    await open_store(server.url)._driver.schema("upgrade")
    async with open_store(f"{server.url}?command_timeout=2") as hive:
        await hive.records.put("c", "k", 0)
        written = 0
        errors: list[HiveStateError] = []
        over = asyncio.Event()

        async def agent() -> None:
            nonlocal written
            while not over.is_set():
                try:
                    await hive.records.put("c", "k", written + 1)
                    written += 1
                except HiveStateError as error:
                    errors.append(error)
                    await asyncio.sleep(0.02)

        waiting = asyncio.create_task(hive._driver.wait(frozenset([RecordRef("c", "never")]), 60_000))
        running = asyncio.create_task(agent())
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.stop)
        async with asyncio.timeout(20):
            while not errors:  # the call that was under way waits for its outcome, up to command_timeout
                await asyncio.sleep(0.02)
        await asyncio.to_thread(server.start)
        before = written
        async with asyncio.timeout(20):
            while written < before + 20:  # goes on without being opened again
                await asyncio.sleep(0.02)
        over.set()
        await running
        assert {type(error) for error in errors} <= {Unavailable, Indeterminate}
        assert not any("\n" in str(error) for error in errors)
        record = await hive.records.get("c", "k")
        assert record is not None
        assert record.value >= written
        waiting.cancel()
