"""Trips of one plain operation: one statement, and the general path for what is not as that expects."""

from __future__ import annotations

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
        await hive.records.put("c", "k", 0)  # the first trip, and new records, are the general path's
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
    assert general == []
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
