"""Cancelled at any await: what was asked for is done or not, and nothing is left behind in the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import HiveStateError
from hive_state_core.model import GroupRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Append,
    Batch,
    ClaimEvents,
    ClaimTasks,
    Committed,
    CreateGroup,
    Enqueue,
    Put,
    Retention,
    Scan,
    StreamRead,
)

CANCELS = int(os.environ.get("HIVE_STATE_CANCELS", "400"))
MOST = 4
S, G = StreamRef("s"), GroupRef("s", "g")


class Caller:
    """Calls the driver, for core lets no cancellation through to it, and cancels after some steps."""

    def __init__(self, hive: Store, seed: int) -> None:
        self.driver = hive._driver
        self.dice = random.Random(seed)
        self.acknowledged: set[str] = set()
        self.cancelled = 0

    async def commit(self, number: int) -> None:
        """Half of them flat, half one by one."""
        name = f"{number}"
        put, effect = Put(RecordRef("a", name), b"1"), Put(RecordRef("b", name), b"1")
        dedupe = None if number % 2 else name
        task = Enqueue(TaskRef(name), "q", b"1", dedupe_key=dedupe)
        batch = Batch((put, effect, task, Append(S, name.encode(), raw=True)))
        (outcome,) = (await self.driver.commit([batch], uuid4().hex)).results
        assert isinstance(outcome, Committed)
        self.acknowledged.add(name)

    def call(self, number: int) -> Awaitable[Any]:
        claims = [ClaimTasks("q", "w", 1, 2), ClaimEvents(G, "c", 1, 2)]
        calls = [
            lambda: self.commit(number),
            lambda: self.commit(number),
            lambda: self.driver.claim(claims, uuid4().hex),
            lambda: self.driver.read([RecordRef("a", f"{number - 1}"), TaskRef("1"), S, G]),
            lambda: self.driver.scan(Scan(kind="task", limit=5)),
            lambda: self.driver.stream([StreamRead(S, 1, 5)]),
            lambda: self.driver.wait(frozenset([S]), 50),
            lambda: self.driver.outcome(uuid4().hex),
            lambda: self.driver.sweep(10, Retention()),
            lambda: self.driver.stats(),
        ]
        return self.dice.choice(calls)()

    async def run(self, numbers: range) -> None:
        for number in numbers:
            running = asyncio.ensure_future(self.call(number))
            for _ in range(self.dice.choice((0, 1, 2, 3, 5, 8, 12, 20))):
                await asyncio.sleep(0)
            if self.dice.random() < 0.5:
                await asyncio.sleep(self.dice.random() * 0.008)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError:
                self.cancelled += 1


@pytest.mark.timeout(600)
async def test_cancelled_at_any_await(url: str) -> None:
    application = f"cancels-{uuid4().hex[:8]}"
    own = f"{url}&max_connections={MOST}&application_name={application}"
    async with open_store(own) as hive:
        await hive._driver.commit([Batch((CreateGroup(G, 0, 1000),))], uuid4().hex)
        callers = [Caller(hive, seed) for seed in range(4)]
        ranges = [range(n * CANCELS, n * CANCELS + CANCELS // 4) for n in range(4)]
        await asyncio.gather(*(caller.run(span) for caller, span in zip(callers, ranges, strict=True)))
        assert sum(caller.cancelled for caller in callers) > CANCELS // 4
        await hive.records.put("after", "all", 1)
        await whole(hive, set().union(*(caller.acknowledged for caller in callers)))
        db = await asyncpg.connect(url.partition("?")[0])
        await settled(db, application, MOST + 1)  # and one that listens
    await settled(db, application, 0)
    await db.close()


async def whole(hive: Store, acknowledged: set[str]) -> None:
    """All parts of a commit are there, or none; those that were acknowledged are."""
    kept = {name: {record.key async for record in hive.records.list(name)} for name in "ab"}
    tasks = {task.id async for task in hive.tasks.list()}
    events = [event async for event in read_all(hive)]
    assert kept["a"] == kept["b"] == tasks == {event.body.decode() for event in events}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert acknowledged <= tasks


async def read_all(hive: Store) -> Any:
    start = 1
    while found := await hive.events.read("s", start=start, limit=100):
        for event in found:
            yield event
        start = found[-1].seq + 1


async def settled(db: Any, application: str, most: int) -> None:
    """Soon no session of ours is in a transaction or waits for a lock, and there are no more than that."""
    query = "SELECT state, query FROM pg_stat_activity WHERE application_name = $1"
    async with asyncio.timeout(20):
        while True:
            sessions = await db.fetch(query, application)
            if len(sessions) <= most and all(session["state"] == "idle" for session in sessions):
                return
            await asyncio.sleep(0.05)


async def test_an_opening_that_is_cancelled_leaves_nothing(url: str) -> None:
    application = f"opens-{uuid4().hex[:8]}"
    dice = random.Random(1)
    for _ in range(25):
        own = url.replace("min_connections=1", "min_connections=3")
        store = open_store(f"{own}&application_name={application}")
        opening = asyncio.create_task(store.open())
        await asyncio.sleep(dice.random() * 0.05)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError, HiveStateError):
            await opening
        await store.close()
    db = await asyncpg.connect(url.partition("?")[0])
    await settled(db, application, 0)
    await db.close()


async def test_a_listening_that_is_cancelled_leaves_nothing(url: str) -> None:
    """The first wait of a store opens a connection; the store is closed meanwhile."""
    application = f"listens-{uuid4().hex[:8]}"
    dice = random.Random(1)
    for _ in range(40):
        async with open_store(f"{url}&application_name={application}") as hive:
            waiting = asyncio.create_task(hive._driver.wait(frozenset([S]), 50))
            await asyncio.sleep(dice.random() * 0.05)
        await waiting
    gc.collect()  # warns of a connection that nobody has closed
    db = await asyncpg.connect(url.partition("?")[0])
    await settled(db, application, 0)
    await db.close()
