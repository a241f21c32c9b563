"""Trips of one plain operation: one statement, and the general path for what is not as that expects."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import Conflict, LeaseLost
from hive_state_sqlite import claiming, committing
from hive_state_sqlite.trip import Writer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"


@pytest.fixture
async def hive(url: str) -> AsyncIterator[Store]:
    async with open_store(url) as hive:
        # The first trip, new records, and streams are the general path's.
        await hive.records.put("c", "k", 0)
        await hive.events.publish("s", 0)
        yield hive


@pytest.fixture
def general(hive: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What comes to the general path from now on."""
    taken: list[str] = []

    def spy(module: object, name: str) -> None:
        work: Callable[..., object] = getattr(module, name)

        def spied(*what: object) -> object:
            taken.append(name)
            return work(*what)

        monkeypatch.setattr(module, name, spied)

    spy(committing, "commit")
    spy(claiming, "claim")
    return taken


async def test_plain_operations_need_no_general_path(hive: Store, general: list[str]) -> None:
    version = await hive.records.put("c", "k", 1)
    assert await hive.records.put("c", "k", 2, if_version=version) > version
    tasks = [(await hive.tasks.enqueue("q", number)).id for number in range(2)]
    for task in tasks:
        (lease,) = await hive.tasks.claim("q", worker="w", capabilities=())
        assert (lease.id, lease.attempt) == (task, 1)
        await hive.tasks.complete(lease, "done")
        assert await hive.events.publish("s", task) > 1
    assert general == []
    assert [event.seq for event in await hive.events.read("s")] == [1, 2, 3]
    record = await hive.records.get("c", "k")
    assert record is not None
    assert record.value == 2
    assert [task.result async for task in hive.tasks.list(states="completed")] == ["done", "done"]


async def test_what_does_not_hold_is_told_by_the_general_path(hive: Store, general: list[str]) -> None:
    with pytest.raises(Conflict):
        await hive.records.put("c", "k", 1, if_version=1)
    assert not (await hive.tasks.claim("empty", worker="w", capabilities=()))
    await hive.tasks.enqueue("q", 1, id="t")
    (lease,) = await hive.tasks.claim("q", worker="w", capabilities=())
    await hive.tasks.release(lease)
    with pytest.raises(LeaseLost):
        await hive.tasks.complete(lease)
    assert not (await hive.tasks.enqueue("q", 2, id="t")).created
    assert general == ["commit", "claim", "commit", "commit", "commit"]


async def test_the_end_of_a_stream_is_where_others_left_it(hive: Store, url: str, general: list[str]) -> None:
    assert [await hive.events.publish(stream, 1) for stream in ("s", "t", "s", "t")] == [2, 1, 3, 2]
    assert general == ["commit"]  # "t" was new
    await hive.events.publish_many("s", [2, 3])
    assert await hive.events.publish("s", 4) == 6
    assert general == ["commit", "commit"]
    async with open_store(url) as other:
        assert [await each.events.publish("s", 5) for each in (other, hive, hive)] == [7, 8, 9]
    assert await hive.events.trim("s", force=True, keep=0)
    assert await hive.events.publish("s", 6) == 10
    await hive.events.drop("s")
    general.clear()
    assert [await hive.events.publish("s", 7) for _ in range(2)] == [11, 12]
    assert general == ["commit"]
    assert [event.seq for event in await hive.events.read("s")] == [11, 12]


async def test_what_is_due_or_over_comes_before_the_next_task(hive: Store, general: list[str]) -> None:
    await hive.tasks.enqueue("q", "lost")
    await hive.tasks.claim("q", worker="w", capabilities=(), lease=0.01)
    await hive.tasks.enqueue("q", "due", priority=1, delay=0.01)
    await hive.tasks.enqueue("q", "next")
    await asyncio.sleep(0.02)
    general.clear()
    claimed = [await hive.tasks.claim("q", worker="w", capabilities=()) for _ in range(3)]
    assert [lease.payload for (lease,) in claimed] == ["due", "lost", "next"]
    assert general == ["claim"]


async def test_trips_of_another_process_are_noticed(hive: Store, url: str, general: list[str]) -> None:
    async with open_store(url) as other:
        versions = [await each.records.put("c", "k", 1) for each in (hive, other, hive, hive, other)]
        assert versions == sorted(set(versions))
        await hive.tasks.enqueue("q", "theirs")
        await other.tasks.enqueue("q", "ours")
        claimed = [await each.tasks.claim("q", worker="w", capabilities=()) for each in (hive, other)]
    assert [lease.payload for (lease,) in claimed] == ["theirs", "ours"]
    assert general


async def test_a_claim_leaves_what_the_one_statement_cannot_choose(hive: Store, general: list[str]) -> None:
    await hive.tasks.enqueue("q", "any")
    await hive.tasks.enqueue("q", "needs", priority=1, requires=["gpu"])
    (lease,) = await hive.tasks.claim("q", worker="w", capabilities=["gpu"])
    assert lease.payload == "needs"
    await hive.tasks.pause("q")
    general.clear()
    assert await hive.tasks.claim("q", worker="w", capabilities=()) == []
    assert general == ["claim"]


async def test_a_log_that_cannot_be_copied_fails_nobody(
    hive: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        raise sqlite3.OperationalError("the disk is gone")

    monkeypatch.setattr(Writer, "_checkpoint_if_due", failing)
    version = await hive.records.put("c", "k", 1)
    await hive.records.get("c", "k")
    monkeypatch.undo()
    assert await hive.records.put("c", "k", 2, if_version=version, timeout=5) > version
    assert "log was not copied" in caplog.text
