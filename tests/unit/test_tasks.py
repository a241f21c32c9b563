"""Tasks, on the reference store."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.errors import InvalidArgument, LeaseLost, LimitExceeded, NotFound, Unavailable
from hive_state_core.model import TaskState
from hive_state_core.spi import Batch, Release, Take

from .leasing import busy, leased, task_of

pytestmark = pytest.mark.prompt


# --- enqueue, reads


async def test_a_task_comes_back_as_it_was_enqueued(hive: Store) -> None:
    parent = await hive.tasks.enqueue("q", 1)
    made = await hive.tasks.enqueue(
        "q",
        {"a": [1, 2.5, None]},
        priority=-3,
        delay=timedelta(seconds=60),
        max_attempts=7,
        dedupe_key="d",
        depends_on=[parent.id, parent.id],
        requires=["plan", "code", "plan"],
    )
    task = await task_of(hive, made.id)
    assert (task.payload, task.priority, task.max_attempts) == ({"a": [1, 2.5, None]}, -3, 7)
    assert (task.dedupe_key, task.depends_on, task.requires) == ("d", (parent.id,), ("code", "plan"))
    assert (task.queue, task.state, task.unmet, task.attempt) == ("q", TaskState.WAITING, 1, 0)
    assert task.due_at - task.created_at == timedelta(seconds=60)
    assert task.created_at.tzinfo is UTC
    assert (task.worker, task.error, task.result, task.finished_at, task.lease_until) == (None,) * 5
    assert not task.cancel_requested
    assert task.version > 0
    with pytest.raises(AttributeError):
        task.state = TaskState.DEAD  # type: ignore[misc]


async def test_the_payload_of_a_read_task_is_the_callers_own(hive: Store) -> None:
    made = await hive.tasks.enqueue("q", {"a": 1})
    (await task_of(hive, made.id)).payload["a"] = 2
    assert (await task_of(hive, made.id)).payload == {"a": 1}


async def test_bytes_come_back_as_bytes(hive: Store) -> None:
    lease = await leased(hive, b"\0\xff")
    assert lease.payload == b"\0\xff"
    await hive.tasks.complete(lease, b"")
    assert (await task_of(hive, lease.id)).result == b""


async def test_dedupe_keys_and_ids_that_are_taken_add_nothing(hive: Store) -> None:
    first = await hive.tasks.enqueue("q", 1, dedupe_key="k")
    again = await hive.tasks.enqueue("q", 2, dedupe_key="k")
    assert (again.id, again.created) == (first.id, False)
    assert not (await hive.tasks.enqueue("q", 3, id=first.id)).created
    assert (await hive.tasks.enqueue("other", 2, dedupe_key="k")).created


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 40_000},
        {"priority": 1.0},
        {"delay": -1},
        {"delay": None},
        {"max_attempts": 0},
        {"dedupe_key": ""},
        {"depends_on": "abc"},
        {"requires": "plan"},
        {"requires": [1]},
        {"requires": [str(n) for n in range(17)]},
        {"depends_on": [str(n) for n in range(101)]},
        {"id": "a\0"},
    ],
)
async def test_wrong_arguments_are_refused(hive: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await hive.tasks.enqueue("q", 1, **wrong)
    assert await hive.tasks.count() == 0


async def test_a_parent_must_exist(hive: Store) -> None:
    with pytest.raises(NotFound):
        await hive.tasks.enqueue("q", 1, depends_on=["nobody"])


async def test_enqueue_many_gives_ids_in_order_over_several_chunks(hive: Store) -> None:
    made = await hive.tasks.enqueue_many("q", (n for n in range(2_500)), priority=1)
    assert len(made) == 2_500
    assert all(one.created for one in made)
    held = await hive.tasks.claim("q", worker="w", limit=1000)
    assert [lease.payload for lease in held] == list(range(1000))
    assert [lease.id for lease in held] == [one.id for one in made[:1000]]


async def test_enqueue_many_bounds_a_chunk_by_bytes(hive: Store) -> None:
    big = b"x" * (15 * 1024 * 1024)
    assert len(await hive.tasks.enqueue_many("q", [big, big, big])) == 3


async def test_enqueue_many_sends_nothing_if_one_payload_is_invalid(hive: Store) -> None:
    with pytest.raises(InvalidArgument):
        await hive.tasks.enqueue_many("q", [*range(1500), {1}])
    assert await hive.tasks.count() == 0
    assert await hive.tasks.enqueue_many("q", []) == []


async def test_list_and_count_by_queue_and_state(hive: Store) -> None:
    for n in range(5):
        await hive.tasks.enqueue("q" if n % 2 else "p", n, id=f"t{n}")
    await hive.tasks.cancel("t1")
    assert [task.id async for task in hive.tasks.list()] == ["t0", "t1", "t2", "t3", "t4"]
    assert [task.id async for task in hive.tasks.list(queue="q", reverse=True)] == ["t3", "t1"]
    assert [task.id async for task in hive.tasks.list(states=["cancelled", TaskState.DEAD])] == ["t1"]
    assert await hive.tasks.count(queue="q", states=[TaskState.READY]) == 1
    assert await hive.tasks.count(states="ready") == 4
    assert await hive.tasks.count(states=[]) == 0
    with pytest.raises(InvalidArgument, match="waiting"):
        await hive.tasks.count(states=["redy"])


# --- the verbs


async def test_claim_limits_and_requirements(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, requires=["plan"])
    assert await hive.tasks.claim("q", worker="w") == []
    (lease,) = await hive.tasks.claim("q", worker="w", capabilities=["code", "plan"], limit=5)
    assert (lease.task.worker, lease.task.state, lease.attempt) == ("w", TaskState.LEASED, 1)
    for limit in (0, 1001):
        with pytest.raises(InvalidArgument):
            await hive.tasks.claim("q", worker="w", limit=limit)


async def test_fail_by_default_backs_off_and_ends_dead(hive: Store) -> None:
    lease = await leased(hive, max_attempts=2)
    assert await hive.tasks.fail(lease, "one") is TaskState.SCHEDULED
    task = await task_of(hive, lease.id)
    assert task.error == "one"
    assert timedelta(seconds=0.4) < task.due_at - task.created_at < timedelta(seconds=2)
    await hive.tasks.cancel(lease.id)
    assert await hive.tasks.redrive(lease.id)
    (lease,) = await hive.tasks.claim("q", worker="w")
    assert await hive.tasks.fail(lease, "two", retry_in=0) is TaskState.READY
    (lease,) = await hive.tasks.claim("q", worker="w")
    assert await hive.tasks.fail(lease, ValueError("three"), retry_in=0) is TaskState.DEAD
    task = await task_of(hive, lease.id)
    assert task.error == "ValueError: three"
    assert task.finished_at is not None


async def test_fail_without_a_retry_is_the_end(hive: Store) -> None:
    lease = await leased(hive)
    assert await hive.tasks.fail(lease, "x", retry_in=None) is TaskState.DEAD


async def test_release_does_not_count_as_an_attempt(hive: Store) -> None:
    lease = await leased(hive)
    assert await hive.tasks.release(lease) is TaskState.READY
    (lease,) = await hive.tasks.claim("q", worker="w")
    assert lease.attempt == 1
    assert await hive.tasks.release(lease, delay=60) is TaskState.SCHEDULED


async def test_a_second_completion_is_refused(hive: Store) -> None:
    lease = await leased(hive)
    await hive.tasks.complete(lease, 1)
    for late in (
        hive.tasks.complete(lease, 2),
        hive.tasks.fail(lease, "x"),
        hive.tasks.release(lease),
        hive.tasks.extend(lease),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert (await task_of(hive, lease.id)).result == 1
    assert not lease.lost  # it ended well


async def test_a_late_completion_after_a_new_claim_is_refused(hive: Store) -> None:
    old = await leased(hive, lease=0.001)
    await asyncio.sleep(0.005)
    (new,) = await hive.tasks.claim("q", worker="w")
    with pytest.raises(LeaseLost):
        await hive.tasks.complete(old)
    assert old.lost
    await hive.tasks.complete(new, "new")
    assert (await task_of(hive, new.id)).result == "new"


async def test_extend_refreshes_the_lease(hive: Store) -> None:
    lease = await leased(hive, lease=10)
    before = lease.lease_until
    await hive.tasks.extend(lease, 60)
    assert lease.lease_until - before > timedelta(seconds=45)
    await hive.tasks.extend(lease)
    assert lease.lease_until - before > timedelta(seconds=45)  # never shorter
    assert not lease.cancel_requested
    assert await hive.tasks.cancel(lease.id) is TaskState.LEASED
    await hive.tasks.extend(lease)
    assert lease.cancel_requested


async def test_cancel_redrive_pause_and_resume(hive: Store) -> None:
    assert await hive.tasks.cancel("nobody") is None
    assert not await hive.tasks.redrive("nobody")
    made = await hive.tasks.enqueue("q", 1)
    assert await hive.tasks.cancel(made.id) is TaskState.CANCELLED
    assert await hive.tasks.redrive(made.id)
    await hive.tasks.pause("q")
    assert await hive.tasks.claim("q", worker="w") == []
    await hive.tasks.resume("q")
    assert len(await hive.tasks.claim("q", worker="w")) == 1


# --- taken, moved, redriven


async def test_errors_name_limits(hive: Store) -> None:
    with pytest.raises(LimitExceeded) as caught:
        await hive.tasks.enqueue("q", 1, requires=map(str, range(20)))
    assert (caught.value.actual, caught.value.allowed) == (20, 16)


async def test_take_is_a_claim_of_that_task(hive: Store) -> None:
    for id in ("a", "b"):
        await hive.tasks.enqueue("q", {"id": id}, id=id)
    lease = await hive.tasks.take("b", worker="picker", lease=5)
    assert lease is not None
    assert (lease.id, lease.payload, lease.attempt, lease.task.worker) == ("b", {"id": "b"}, 1, "picker")
    assert await hive.tasks.take("b", worker="late") is None
    assert await hive.tasks.take("nobody", worker="w") is None
    async with lease:
        lease.result = "done"
    assert (await task_of(hive, "b")).result == "done"
    assert [each.id for each in await hive.tasks.claim("q", worker="w", limit=9)] == ["a"]


@pytest.mark.parametrize("timeout", [None, 0.02])
async def test_a_take_that_was_given_up_leaves_nothing_leased(hive: Store, timeout: float | None) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    commit = hive._trips.commit

    async def slow(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
        committed = await commit(batch, size, timeout)
        if isinstance(batch.ops[0], Take):
            await asyncio.sleep(0.1)
        return committed

    hive._trips.commit = slow  # type: ignore[method-assign]
    taking = asyncio.create_task(hive.tasks.take("t", worker="w", timeout=timeout))
    await asyncio.sleep(0.05)
    if timeout is None:
        taking.cancel()
    with pytest.raises(asyncio.CancelledError if timeout is None else Unavailable):
        await taking
    while (await task_of(hive, "t")).state is not TaskState.READY:
        await asyncio.sleep(0.01)
    assert (await task_of(hive, "t")).attempt == 0


async def test_a_take_that_is_taken_away_at_once_is_none(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    commit = hive._trips.commit

    async def undone(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
        committed = await commit(batch, size, timeout)
        if isinstance(batch.ops[0], Take):
            await commit(Batch((Release(batch.ops[0].ref, committed.results[0]),)))  # type: ignore[arg-type]
        return committed

    hive._trips.commit = undone  # type: ignore[method-assign]
    assert await hive.tasks.take("t", worker="w") is None


@pytest.mark.parametrize("id", ["t", "nobody"])
async def test_a_take_that_was_given_up_and_took_nothing(hive: Store, id: str) -> None:
    await hive.tasks.enqueue("q", 1, id="t")
    commit = hive._trips.commit
    ended = asyncio.Event()

    async def slow(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
        await asyncio.sleep(0.1)
        ended.set()
        if id == "t":
            raise busy()
        return await commit(batch, size, timeout)

    hive._trips.commit = slow  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="the task was not taken"):
        await hive.tasks.take(id, worker="w", timeout=0.02)
    await ended.wait()
    hive._trips.commit = commit  # type: ignore[method-assign]
    await asyncio.sleep(0.01)
    assert (await task_of(hive, "t")).state is TaskState.READY


async def test_a_new_priority_counts_from_the_next_claim_on(hive: Store) -> None:
    for id in ("a", "b"):
        await hive.tasks.enqueue("q", 1, id=id)
    assert await hive.tasks.prioritize("b", 1)
    assert not await hive.tasks.prioritize("nobody", 1)
    with pytest.raises(LimitExceeded, match="priority"):
        await hive.tasks.prioritize("b", 40_000)
    (lease,) = await hive.tasks.claim("q", worker="w")
    assert (lease.id, lease.task.priority) == ("b", 1)


async def test_redrive_many_takes_the_dead_of_a_queue(hive: Store) -> None:
    for queue, count in (("q", 5), ("other", 1)):
        await hive.tasks.enqueue_many(queue, range(count))
        for lease in await hive.tasks.claim(queue, worker="w", limit=count):
            await hive.tasks.fail(lease, "broken", retry_in=None)
    await hive.tasks.enqueue("q", 1, id="cancelled")
    await hive.tasks.cancel("cancelled")
    assert await hive.tasks.redrive_many("q") == 5
    assert await hive.tasks.redrive_many("q") == 0
    assert await hive.tasks.count(queue="q", states="ready") == 5
    assert await hive.tasks.redrive_many(states=["dead", "cancelled"]) == 2
