"""`async with lease`: its ends, its heartbeats, and its loss."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.errors import InvalidArgument, LeaseLost, Unavailable
from hive_state_core.leases import Lease
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import Batch, Complete, Extend, Fail, Release

from .leasing import Fault, busy, leased, task_of

pytestmark = pytest.mark.prompt


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
