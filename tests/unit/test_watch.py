"""Watched records, and waiting for the end of tasks or for their cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import InvalidArgument, LeaseLost, NotFound, Unavailable
from hive_state_core.model import TaskState
from hive_state_core.records import Change


@pytest.fixture(params=["memory", "sqlite", "no hints"])
async def hive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/hive.db"
    async with open_store(url) as store:
        if request.param == "no hints":

            async def deaf(topics: object, timeout: int) -> frozenset[Any]:
                await asyncio.sleep(timeout / 1000)
                return frozenset()

            store._trips.wait = deaf  # type: ignore[method-assign]
        yield store


class Watcher:
    """Collects changes in the background."""

    def __init__(self, changes: Any) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._task = asyncio.create_task(self._collect(changes))

    async def _collect(self, changes: Any) -> None:
        async with aclosing(changes):
            async for change in changes:
                assert isinstance(change, Change)
                self.seen.append((change.key, None if change.record is None else change.record.value))

    async def until(self, holds: Callable[[list[tuple[str, Any]]], bool]) -> None:
        while not holds(self.seen):
            assert not self._task.done(), self._task.result()
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


async def test_a_watched_record_gives_what_is_there_and_then_the_latest(hive: Store) -> None:
    watcher = Watcher(hive.records.watch("c", "k", poll=0.02))
    await watcher.until(lambda seen: seen == [("k", None)])
    await hive.records.put("c", "other", 0)
    for n in range(20):
        await hive.records.put("c", "k", n)
    await watcher.until(lambda seen: seen[-1] == ("k", 19))
    await hive.records.delete("c", "k")
    await watcher.until(lambda seen: seen[-1] == ("k", None))
    await hive.records.put("c", "k", "again")
    await watcher.until(lambda seen: ("k", "again") in seen)
    await hive.records.touch("c", "k", ttl=0.03)
    await watcher.until(lambda seen: seen[-1] == ("k", None))  # it expired
    assert {key for key, _ in watcher.seen} == {"k"}
    numbers = [value for _, value in watcher.seen if isinstance(value, int)]
    assert numbers == sorted(set(numbers))
    await watcher.close()


async def test_a_watched_collection_ends_where_the_store_is(hive: Store) -> None:
    await hive.records.put("c", "x/before", 1)
    watcher = Watcher(hive.records.watch("c", prefix="x/", poll=0.02))
    await watcher.until(lambda seen: seen == [("x/before", 1)])
    for n in range(250):
        await hive.records.put("c", f"x/{n % 130}", n)
    await hive.records.put("c", "y", 1)
    for n in range(0, 130, 2):
        await hive.records.delete("c", f"x/{n}")
    there = {record.key: record.value async for record in hive.records.list("c", prefix="x/")}
    await watcher.until(
        lambda seen: {key: value for key, value in dict(seen).items() if value is not None} == there
    )
    assert "y" not in dict(watcher.seen)
    await watcher.close()


async def test_watching_survives_trouble_and_ends_with_the_store(hive: Store) -> None:
    read = hive._trips.read
    trouble = 3

    async def troubled(*arguments: Any, **options: Any) -> Any:
        nonlocal trouble
        trouble -= 1
        if trouble >= 0:
            raise Unavailable("busy")
        return await read(*arguments, **options)

    hive._trips.read = troubled  # type: ignore[method-assign]
    await hive.records.put("c", "k", 1)
    one = Watcher(hive.records.watch("c", "k", poll=0.02))
    whole = Watcher(hive.records.watch("c", poll=0.02))
    await one.until(lambda seen: seen == [("k", 1)])
    await whole.until(lambda seen: seen == [("k", 1)])
    await hive.close()
    for watcher in (one, whole):
        await asyncio.wait_for(watcher._task, 10)


async def test_what_cannot_be_watched_is_refused(hive: Store) -> None:
    for arguments, options in ((("hive:agents",), {}), (("c", "k"), {"prefix": "x"}), (("c",), {"poll": 0})):
        with pytest.raises(InvalidArgument):
            await anext(hive.records.watch(*arguments, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_wait_tells_how_a_task_ended(hive: Store, end: str) -> None:
    await hive.tasks.enqueue("q", 1, id="t", max_attempts=1)
    waiting = asyncio.create_task(hive.tasks.wait("t", poll=0.02))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    if end == "cancel":
        await hive.tasks.cancel("t")
    else:
        (lease,) = await hive.tasks.claim("q", worker="w")
        if end == "complete":
            await hive.tasks.complete(lease, {"answer": 42})
        else:
            await hive.tasks.fail(lease, "broken")
    task = await waiting
    ends = {"complete": TaskState.COMPLETED, "fail": TaskState.DEAD, "cancel": TaskState.CANCELLED}
    assert (task.done, task.state) == (True, ends[end])
    assert task.result == ({"answer": 42} if end == "complete" else None)
    assert (await hive.tasks.wait("t")).state is ends[end]


async def test_wait_gives_up_after_its_time(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    task = await hive.tasks.wait("t", timeout=0.05)
    assert (task.done, task.state) == (False, TaskState.READY)
    with pytest.raises(NotFound, match="'nobody' does not exist"):
        await hive.tasks.wait("nobody", timeout=1)

    async def silent(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(10)

    hive._trips.read = silent  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="no answer within"):
        await hive.tasks.wait("t", timeout=0.05)


async def test_many_wait_for_one_task(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    waiting = [asyncio.create_task(hive.tasks.wait("t", poll=0.05)) for _ in range(50)]
    (lease,) = await hive.tasks.claim("q", worker="w")
    await hive.tasks.complete(lease, "done")
    assert [task.result for task in await asyncio.gather(*waiting)] == ["done"] * 50


async def test_a_handler_hears_that_it_should_stop(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    (lease,) = await hive.tasks.claim("q", worker="w", lease=300)
    asked = asyncio.create_task(hive.tasks.cancellation(lease, poll=0.02))
    await asyncio.sleep(0.05)
    assert not asked.done()
    await hive.tasks.cancel("t")
    await asyncio.wait_for(asked, 10)
    assert lease.cancel_requested
    await hive.tasks.fail(lease, "asked to stop")
    assert (await hive.tasks.wait("t")).state is TaskState.CANCELLED


async def test_nobody_hears_of_a_lease_that_is_lost(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    (lease,) = await hive.tasks.claim("q", worker="w")
    await hive.tasks.release(lease)
    with pytest.raises(LeaseLost):
        await hive.tasks.cancellation(lease)
