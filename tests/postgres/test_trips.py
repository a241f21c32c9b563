"""Outcomes of trips, and what two trips may not do to each other."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import Unavailable
from hive_state_core.model import RecordRef, TaskRef
from hive_state_core.spi import (
    Batch,
    ClaimTasks,
    Committed,
    Complete,
    Delete,
    Enqueue,
    Fail,
    Put,
    Refused,
    VersionIs,
)
from hive_state_core.url import parse_url


def put(key: str, *checks: VersionIs) -> Batch:
    return Batch((Put(RecordRef("c", key), b"1"),), checks)


async def test_an_outcome_is_the_reply_again(hive: Store) -> None:
    driver = hive._driver
    batches = [
        put("a"),
        put("b", VersionIs(RecordRef("c", "b"), 7)),
        Batch((Enqueue(TaskRef("t1"), "q", b"1"),)),
        Batch((Enqueue(TaskRef("t2"), "q", b"2", dedupe_key="d"), Delete(RecordRef("c", "none")))),
        Batch((Complete(TaskRef("t3"), 5),)),
    ]
    reply = await driver.commit(batches, "trip-1")
    assert [type(outcome) for outcome in reply.results] == [Committed, Refused, Committed, Committed, Refused]
    assert await driver.outcome("trip-1") == reply
    claimed = await driver.claim([ClaimTasks("q", "w", 60_000), ClaimTasks("q", "v", 60_000, 5)], "trip-2")
    assert await driver.outcome("trip-2") == claimed
    (first,) = claimed.results[0].tasks  # type: ignore[union-attr]
    await driver.commit([Batch((Fail(first.ref, first.token, "no", None),))], "trip-3")
    again = await driver.outcome("trip-2")
    assert again is not None
    assert [len(result.tasks) for result in again.results] == [0, 1]  # type: ignore[union-attr]


async def test_a_trip_that_changed_nothing_has_no_outcome(hive: Store) -> None:
    driver = hive._driver
    await driver.commit([Batch((Delete(RecordRef("c", "none")),))], "trip")
    assert await driver.outcome("trip") is None


async def test_a_trip_that_comes_after_its_void_fails(hive: Store) -> None:
    driver = hive._driver
    assert await driver.outcome("late") is None
    with pytest.raises(Unavailable):
        await driver.commit([put("a")], "late")
    assert (await driver.read([RecordRef("c", "a")])).results == [None]


async def test_an_outcome_waits_for_the_trip_under_way(hive: Store, url: str) -> None:
    await hive.records.put("c", "a", 0)
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    async with db.transaction():
        insert = f"INSERT INTO {schema}.trips SELECT ns, 'x', 'commit', 1, 1, 1, '' FROM {schema}.control"
        await db.execute(insert)
        asked = asyncio.create_task(hive._driver.outcome("x"))
        await asyncio.sleep(0.2)
        assert not asked.done()
    assert await asked is not None
    await db.close()


async def test_no_write_skew_on_what_is_absent(url: str) -> None:
    """Two that each write if the other has not: one of them must see the other."""
    async with open_store(url) as one, open_store(url) as two:
        for n in range(20):
            keys = [f"{n}-a", f"{n}-b"]
            batches = [
                put(mine, VersionIs(RecordRef("c", other), 0)) for mine, other in (keys, reversed(keys))
            ]
            replies = await asyncio.gather(
                one._driver.commit(batches[:1], uuid4().hex), two._driver.commit(batches[1:], uuid4().hex)
            )
            assert sum(isinstance(reply.results[0], Committed) for reply in replies) == 1


async def test_instants_never_go_back(hive: Store, url: str) -> None:
    """What a trip in the future left is a floor for all that come after it."""
    await hive.records.put("c", "a", 0)
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    at = await db.fetchval(f"UPDATE {schema}.trips SET at = at + 3600000 RETURNING at")
    await db.close()
    assert (await hive._driver.read([])).at >= at
    assert (await hive._driver.commit([put("a")], "next")).at >= at
