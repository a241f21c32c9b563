"""Tasks and leases, on the reference store."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.errors import (
    Conflict,
    HiveStateError,
    InvalidArgument,
    LeaseLost,
    LimitExceeded,
    NotFound,
    Unavailable,
)
from hive_state_core.ids import derived_id, error_text, new_id
from hive_state_core.leases import Lease
from hive_state_core.limits import ERROR_BYTES
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import Batch, Complete, Extend, Fail, Release, Take
from hive_state_core.task_model import Task

pytestmark = pytest.mark.prompt


async def leased(hive: Store, payload: Any = None, *, lease: float = 30, **options: Any) -> Lease:
    await hive.tasks.enqueue("q", payload, **options)
    (held,) = await hive.tasks.claim("q", worker="w", lease=lease)
    return held


async def task_of(hive: Store, id: str) -> Task:
    task = await hive.tasks.get(id)
    assert task is not None
    return task


class Fault:
    """Raises instead of committing, for batches whose first operation is of one of these kinds."""

    def __init__(
        self, hive: Store, kinds: type | tuple[type, ...], error: Callable[[], HiveStateError], times: int
    ) -> None:
        self.left = times
        self.raised = 0
        trips = hive._trips
        commit = trips.commit

        async def faulty(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
            if self.left and isinstance(batch.ops[0], kinds):
                self.left -= 1
                self.raised += 1
                raise error()
            return await commit(batch, size, timeout)

        trips.commit = faulty  # type: ignore[method-assign]


def busy() -> HiveStateError:
    return Unavailable("busy")


# --- ids and texts


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(each) == 32 and int(each, 16) for each in ids)
    stamps = [new_id()[:12] for _ in range(100)]
    assert stamps == sorted(stamps)


def test_derived_ids_depend_on_the_commit_id_and_the_place() -> None:
    assert derived_id("c", 1) == derived_id("c", 1)
    assert len({derived_id("c", 1), derived_id("c", 2), derived_id("d", 1), derived_id("1:c", 1)}) == 4


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("plain", "plain"),
        ("", "failed"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a?b"),
        (ValueError("x"), "ValueError: x"),
        (Mute(), "Mute"),
    ],
)
def test_error_texts_can_be_stored(error: object, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("letter", ["x", "é", "𝄞", "\0", "\ud800"])
def test_long_error_texts_are_cut_between_characters(letter: str) -> None:
    text = error_text(letter * (ERROR_BYTES * 2))
    assert ERROR_BYTES - 4 < len(text.encode()) <= ERROR_BYTES


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


# --- `async with lease`


async def test_the_end_of_the_block_completes_with_the_result(hive: Store) -> None:
    async with await leased(hive, {"n": 1}) as lease:
        lease.result = {"n": lease.payload["n"] + 1}
        assert lease.result == {"n": 2}
    task = await task_of(hive, lease.id)
    assert (task.state, task.result) == (TaskState.COMPLETED, {"n": 2})
    assert lease.ended


async def test_a_result_that_cannot_be_stored_fails_the_task(hive: Store) -> None:
    with pytest.raises(InvalidArgument):
        async with await leased(hive) as lease:
            lease.result = object()
    assert (await task_of(hive, lease.id)).state is TaskState.SCHEDULED


@pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.DEAD, TaskState.READY])
async def test_a_block_may_end_the_lease_itself(hive: Store, state: TaskState) -> None:
    async with await leased(hive) as lease:
        if state is TaskState.COMPLETED:
            await hive.tasks.complete(lease, "own")
        elif state is TaskState.DEAD:
            await hive.tasks.fail(lease, "own", retry_in=None)
        else:
            await hive.tasks.release(lease)
    assert (await task_of(hive, lease.id)).state is state


async def test_an_exception_after_the_end_changes_nothing(hive: Store) -> None:
    lease = await leased(hive)

    async def use() -> None:
        async with lease:
            await hive.tasks.complete(lease)
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        await use()
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED


async def test_an_exception_fails_with_back_off_and_goes_on(hive: Store) -> None:
    with pytest.raises(ValueError, match="oops"):
        async with await leased(hive) as lease:
            raise ValueError("oops")
    task = await task_of(hive, lease.id)
    assert (task.state, task.error, task.attempt) == (TaskState.SCHEDULED, "ValueError: oops", 1)


async def test_the_last_exception_makes_it_dead(hive: Store) -> None:
    with pytest.raises(ValueError):
        async with await leased(hive, max_attempts=1) as lease:
            raise ValueError
    assert (await task_of(hive, lease.id)).state is TaskState.DEAD


async def test_a_lease_is_used_once(hive: Store) -> None:
    lease = await leased(hive)
    async with lease:
        with pytest.raises(InvalidArgument):
            await lease.__aenter__()
    with pytest.raises(InvalidArgument):
        await lease.__aenter__()


async def hold(lease: Lease, entered: asyncio.Event | None = None) -> None:
    async with lease:
        if entered is not None:
            entered.set()
        await asyncio.sleep(10)


async def test_a_cancellation_from_outside_releases(hive: Store) -> None:
    lease, entered = await leased(hive), asyncio.Event()
    body = asyncio.create_task(hold(lease, entered))
    await entered.wait()
    body.cancel()
    with pytest.raises(asyncio.CancelledError):
        await body
    task = await task_of(hive, lease.id)
    assert (task.state, task.attempt) == (TaskState.READY, 0)


async def test_a_timeout_around_the_block_releases_and_inside_it_fails(hive: Store) -> None:
    lease = await leased(hive)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await hold(lease)
    assert (await task_of(hive, lease.id)).state is TaskState.READY
    (lease,) = await hive.tasks.claim("q", worker="w")
    with pytest.raises(TimeoutError):
        async with lease, asyncio.timeout(0.01):
            await asyncio.sleep(10)
    assert (await task_of(hive, lease.id)).error == "TimeoutError: "


async def test_a_cancelled_error_that_nobody_asked_for_is_a_failure(hive: Store) -> None:
    """Released, such a task would be tried for ever: a release gives the attempt back."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with await leased(hive, max_attempts=1) as lease:
            await future
    assert (await task_of(hive, lease.id)).state is TaskState.DEAD


async def test_a_second_cancellation_does_not_stop_the_release(hive: Store) -> None:
    lease, entered = await leased(hive), asyncio.Event()
    fault = Fault(hive, Release, busy, 1)
    body = asyncio.create_task(hold(lease, entered))
    await entered.wait()
    body.cancel()
    while not fault.raised:
        await asyncio.sleep(0)
    body.cancel()
    with pytest.raises(asyncio.CancelledError):
        await body
    while (await task_of(hive, lease.id)).state is not TaskState.READY:
        await asyncio.sleep(0.005)


async def test_a_cancellation_while_completing_still_completes(hive: Store) -> None:
    lease = await leased(hive)
    fault = Fault(hive, Complete, busy, 2)

    async def use() -> None:
        async with lease:
            pass

    body = asyncio.create_task(use())
    while not fault.raised:
        await asyncio.sleep(0)
    body.cancel()
    with pytest.raises(asyncio.CancelledError):
        await body
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED


async def test_completing_waits_for_a_busy_store_until_the_lease_would_end(hive: Store) -> None:
    lease = await leased(hive, lease=2)
    fault = Fault(hive, Complete, busy, 3)
    async with lease:
        pass
    assert fault.raised == 3
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED
    lease = await leased(hive, lease=0.03)
    Fault(hive, Complete, busy, 1000)
    with pytest.raises(Unavailable):
        async with lease:
            pass


async def test_a_heartbeat_keeps_a_long_block_alive(hive: Store) -> None:
    lease = await leased(hive, lease=0.3)
    first = lease.lease_until
    async with lease:
        for _ in range(6):
            await asyncio.sleep(0.1)
            assert await hive.tasks.claim("q", worker="thief") == []
    assert lease.lease_until > first
    assert (await task_of(hive, lease.id)).attempt == 1


async def test_no_heartbeat_outside_the_block(hive: Store) -> None:
    fault = Fault(hive, Extend, busy, 1000)
    lease = await leased(hive, lease=0.03)
    await asyncio.sleep(0.015)
    async with lease:
        pass
    other = await leased(hive, lease=0.01)
    await asyncio.sleep(0.02)
    assert fault.raised == 0
    await hive.tasks.complete(other)


async def test_no_heartbeat_once_the_block_has_ended_the_lease(hive: Store) -> None:
    fault = Fault(hive, Extend, busy, 1000)
    async with await leased(hive, lease=0.03) as lease:
        await hive.tasks.complete(lease)
        await asyncio.sleep(0.1)
    assert fault.raised == 0
    assert not lease.lost


async def test_a_heartbeat_that_comes_after_the_end_is_no_loss(hive: Store) -> None:
    commit, released = hive._trips.commit, asyncio.Event()

    async def late(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
        if isinstance(batch.ops[0], Extend):
            await released.wait()
        return await commit(batch, size, timeout)

    hive._trips.commit = late  # type: ignore[method-assign]
    async with await leased(hive, lease=0.03) as lease:
        await asyncio.sleep(0.02)  # it is under way
        await hive.tasks.release(lease)
        released.set()
        await asyncio.sleep(0.01)
    assert not lease.lost
    assert (await task_of(hive, lease.id)).state is TaskState.READY


async def test_a_failure_that_the_store_does_not_take_is_logged(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    Fault(hive, Fail, busy, 10**6)
    with pytest.raises(ValueError, match="the work"):
        async with await leased(hive) as lease:
            raise ValueError("the work")
    assert f"the lease of task {lease.id} was not ended, it will run out: busy" in caplog.text


async def test_a_lost_lease_cancels_the_block(hive: Store) -> None:
    lease = await leased(hive, lease=0.03)
    await hive.tasks.release(copy.copy(lease))  # as if it had been taken away
    with pytest.raises(LeaseLost) as caught:
        await hold(lease)
    assert lease.lost
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    me = asyncio.current_task()
    assert me is not None
    assert me.cancelling() == 0
    await asyncio.sleep(0)  # no cancellation is left over
    assert (await task_of(hive, lease.id)).state is TaskState.READY


async def test_a_lost_lease_is_told_even_if_the_block_swallows_the_cancellation(hive: Store) -> None:
    lease = await leased(hive, lease=0.03)
    await hive.tasks.release(copy.copy(lease))
    swallowed = False

    async def use() -> None:
        nonlocal swallowed
        async with lease:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                swallowed = True

    with pytest.raises(LeaseLost):
        await use()
    assert swallowed
    await asyncio.sleep(0)


async def test_a_foreign_cancellation_wins_over_a_lost_lease(hive: Store) -> None:
    lease = await leased(hive, lease=0.03)
    await hive.tasks.release(copy.copy(lease))

    async def use() -> None:
        async with lease:
            try:
                await asyncio.sleep(10)
            finally:
                body.cancel()

    body = asyncio.create_task(use())
    with pytest.raises(asyncio.CancelledError):
        await body
    assert lease.lost


async def test_a_task_group_around_a_lost_lease_sees_the_loss(hive: Store) -> None:
    lease = await leased(hive, lease=0.03)
    await hive.tasks.release(copy.copy(lease))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold(lease))
    assert caught.group_contains(LeaseLost)


async def test_heartbeats_go_on_through_trouble(hive: Store) -> None:
    lease = await leased(hive, lease=0.15)
    fault = Fault(hive, Extend, busy, 4)
    async with lease:
        await asyncio.sleep(0.2)
    assert fault.raised == 4
    assert (await task_of(hive, lease.id)).attempt == 1


async def test_trouble_until_the_end_of_the_lease_is_a_loss(hive: Store) -> None:
    lease = await leased(hive, lease=0.05)
    Fault(hive, Extend, busy, 1000)
    with pytest.raises(LeaseLost) as caught:
        await hold(lease)
    assert asyncio.get_running_loop().time() >= lease._ends
    assert lease.lost
    assert "ended before" in str(caught.value)


async def test_a_lease_entered_late_is_extended_at_once(hive: Store) -> None:
    lease = await leased(hive, lease=0.01)
    await asyncio.sleep(0.02)
    async with lease:
        await asyncio.sleep(0.001)
        before = lease.lease_until
        while lease.lease_until == before:
            await asyncio.sleep(0.001)
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED


async def test_the_block_sees_that_its_task_should_stop(hive: Store) -> None:
    async with await leased(hive, lease=0.03) as lease:
        await hive.tasks.cancel(lease.id)
        while not lease.cancel_requested:
            await asyncio.sleep(0.001)
        await hive.tasks.release(lease)
    assert (await task_of(hive, lease.id)).state is TaskState.CANCELLED


async def test_a_claim_that_was_cancelled_leaves_nothing_leased(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    for turns in range(6):
        claim = asyncio.create_task(hive.tasks.claim("q", worker="w"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not claim.done():
            claim.cancel()
        try:
            for lease in await claim:
                await hive.tasks.release(lease)
        except asyncio.CancelledError:
            pass
        await asyncio.sleep(0.002)
        assert await hive.tasks.count(states=["ready"]) == 1, f"cancelled after {turns} turns"


async def test_a_lease_that_cannot_be_given_back_is_logged(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await hive.tasks.enqueue("q", 1)
    (leased,) = await hive.tasks.claim("q", worker="w")
    Fault(hive, Release, busy, 1)
    await hive._trips._release([Release(TaskRef(leased.id), leased.token)])
    assert "the lease of an abandoned claim was not released, it will run out: busy" in caplog.text


async def test_a_claim_that_was_cancelled_and_found_nothing_gives_nothing_back(
    hive: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[object] = []
    monkeypatch.setattr(hive._trips, "_release", released.append)
    driver_claim = hive._trips.driver.claim

    async def answered_too_late(requests: Any, trip_id: str) -> Any:
        reply = await driver_claim(requests, trip_id)
        asyncio.get_running_loop().call_soon(claims[0].cancel)
        return reply

    monkeypatch.setattr(hive._trips.driver, "claim", answered_too_late)
    claims = [asyncio.create_task(hive.tasks.claim("q", worker="w"))]
    with pytest.raises(asyncio.CancelledError):
        await claims[0]
    assert released == []


# --- units


async def test_a_unit_ends_the_lease_of_the_block_around_it(hive: Store) -> None:
    async with await leased(hive) as lease:
        async with hive.atomic() as unit:
            unit.tasks.complete(lease, "r")
            child = unit.tasks.enqueue("next", 1, depends_on=[lease.id])
            unit.records.put("c", "k", 1)
            assert not lease.ended
        assert lease.ended
    assert child.result.created
    assert (await task_of(hive, child.result.id)).state is TaskState.READY
    assert (await task_of(hive, lease.id)).result == "r"


async def test_a_unit_that_was_refused_leaves_the_lease(hive: Store) -> None:
    async with await leased(hive) as lease:
        unit = hive.atomic()
        unit.tasks.fail(lease, "no")
        unit.records.expect("c", "k", version=3)
        with pytest.raises(Conflict):
            await unit.commit()
        assert not lease.ended
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED


async def test_a_unit_with_a_lost_lease_does_nothing(hive: Store) -> None:
    lease = await leased(hive)
    await hive.tasks.release(copy.copy(lease))
    for verb in ("complete", "expect"):
        unit = hive.atomic()
        getattr(unit.tasks, verb)(lease)
        unit.records.put("c", "k", 1)
        with pytest.raises(LeaseLost):
            await unit.commit()
    assert await hive.records.get("c", "k") is None


async def test_the_verbs_of_a_unit(hive: Store) -> None:
    one, two = await leased(hive), await leased(hive)
    made, other = [await hive.tasks.enqueue("p", 1) for _ in range(2)]
    async with hive.atomic() as unit:
        failed = unit.tasks.fail(one, "x", retry_in=None)
        released = unit.tasks.release(two, delay=5)
        cancelled = unit.tasks.cancel(made.id)
        urgent = unit.tasks.prioritize(other.id, 1)
        nobody = unit.tasks.redrive("nobody")
    assert (failed.result, released.result) == (TaskState.DEAD, TaskState.SCHEDULED)
    assert (cancelled.result, nobody.result, urgent.result) == (TaskState.CANCELLED, False, True)
    assert one.ended
    assert two.ended


async def test_a_retried_unit_with_a_commit_id_asks_for_the_same(hive: Store) -> None:
    lease = await leased(hive)
    ids = []
    for _ in range(2):
        async with hive.atomic(commit_id="c1") as unit:
            made = [unit.tasks.enqueue("p", n) for n in range(2)]
            unit.tasks.fail(lease, "x")
        ids.append([pending.result.id for pending in made])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert await hive.tasks.count(queue="p") == 2


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
