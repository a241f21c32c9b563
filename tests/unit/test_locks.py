"""Locks, on the reference store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from hive_state_core import Store, locks, open_store
from hive_state_core.errors import (
    AlreadyExists,
    Indeterminate,
    InvalidArgument,
    LeaseLost,
    LimitExceeded,
    Unavailable,
)
from hive_state_core.locks import Lock
from hive_state_core.spi import Delete, Put, Touch

from .clocks import Clock

pytestmark = pytest.mark.prompt


def before_commits(hive: Store, act: Callable[[Any], Any]) -> None:
    """`await act(op)` comes before each commit that has operations."""
    commit = hive._trips.commit

    async def acted(batch: Any, *args: Any, **options: Any) -> Any:
        if batch.ops:
            await act(batch.ops[0])
        return await commit(batch, *args, **options)

    hive._trips.commit = acted  # type: ignore[method-assign]


async def taken(hive: Store, name: str = "l", **options: Any) -> Lock:
    lock = await hive.locks.try_acquire(name, **options)
    assert lock is not None
    return lock


async def free(hive: Store, name: str = "l") -> None:
    async with asyncio.timeout(5):
        while await hive.locks.holder(name) is not None:
            await asyncio.sleep(0.001)


async def test_acquire_holds_and_releases(hive: Store) -> None:
    async with hive.locks.acquire("l", ttl=30, owner="me") as lock:
        holder = await hive.locks.holder("l")
        assert holder is not None
        assert (holder.owner, holder.fencing_token) == ("me", lock.fencing_token)
        assert (holder.expires_at - holder.acquired_at).total_seconds() == 30
        assert await hive.locks.try_acquire("l") is None
        assert repr(lock) == f"Lock('l', owner='me', fencing_token={lock.fencing_token})"
        other = await taken(hive, "other")
        assert ":" in other.owner
    assert await hive.locks.holder("l") is None
    assert (lock.ended, lock.lost) == (True, False)


async def test_fencing_tokens_grow_with_every_holder(hive: Store) -> None:
    clock = Clock(hive)
    tokens = []
    for turn in range(6):
        lock = await taken(hive, ttl=1)
        tokens.append(lock.fencing_token)
        if turn % 2:
            assert await hive.locks.release(lock)
        else:
            clock.ahead += 1000
    assert tokens == sorted(set(tokens))


async def test_touches_keep_the_token(hive: Store) -> None:
    lock = await taken(hive)
    await hive.locks.extend(lock)
    holder = await hive.locks.holder("l")
    assert holder is not None
    assert holder.fencing_token == lock.fencing_token


@pytest.mark.parametrize("seconds", [0, 0.02])
async def test_who_does_not_wait_is_told_the_owner(hive: Store, seconds: float) -> None:
    lock = await taken(hive, owner="somebody else")
    async with asyncio.timeout(5):
        with pytest.raises(AlreadyExists, match="'somebody else'") as caught:
            async with hive.locks.acquire("l", wait=seconds):
                raise AssertionError
    assert caught.value.actual == lock.fencing_token
    assert not lock.lost


async def test_a_free_lock_is_taken_without_waiting(hive: Store) -> None:
    async with hive.locks.acquire("l", wait=0):
        pass
    async with hive.locks.acquire("l", wait=0):
        pass


async def test_one_at_a_time_and_in_order(hive: Store) -> None:
    inside = 0
    order: list[int] = []

    async def one(number: int) -> None:
        nonlocal inside
        async with hive.locks.acquire("l", ttl=5):
            inside += 1
            assert inside == 1
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    async with hive.locks.acquire("l"):
        tasks = []
        for number in range(30):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert order == list(range(30))
    assert not hive.locks._turns


async def test_between_stores(tmp_path: Any) -> None:
    total = 0

    async def one(hive: Store) -> None:
        nonlocal total
        for _ in range(5):
            async with hive.locks.acquire("l", ttl=5):
                seen = total
                await asyncio.sleep(0)
                total = seen + 1

    async with open_store("memory://locks-1") as a, open_store("memory://locks-1") as b:
        async with asyncio.timeout(5):
            await asyncio.gather(*[one(hive) for hive in (a, b) for _ in range(3)])
    assert total == 30


async def test_a_dead_holder_is_waited_out(hive: Store) -> None:
    dead = await taken(hive, ttl=0.03)
    async with asyncio.timeout(5):
        async with hive.locks.acquire("l") as lock:
            assert lock.fencing_token > dead.fencing_token
    assert not await hive.locks.release(dead)
    assert dead.lost


async def test_hints_are_not_needed(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL", 0.02)

    async def never(topics: Any, timeout_ms: int) -> Any:
        raise Unavailable("no hints today")

    hive._trips.wait = never  # type: ignore[method-assign]
    lock = await taken(hive)
    asyncio.get_running_loop().call_later(0.03, asyncio.ensure_future, hive.locks.release(lock))
    async with asyncio.timeout(5), hive.locks.acquire("l") as next_one:
        assert next_one.fencing_token > lock.fencing_token


async def test_who_came_too_early_is_told_that_it_is_free_by_now(hive: Store) -> None:
    lock = await taken(hive)
    read = hive._trips.read

    async def released_before(*args: Any, **options: Any) -> Any:
        hive._trips.read = read  # type: ignore[method-assign]
        await hive.locks.release(lock)
        return await read(*args, **options)

    hive._trips.read = released_before  # type: ignore[method-assign]
    with pytest.raises(AlreadyExists, match="it is free by now"):
        async with hive.locks.acquire("l", wait=0):
            raise AssertionError
    async with hive.locks.acquire("l", wait=0):
        pass


async def test_wrong_hints_make_no_busy_loop(hive: Store) -> None:
    async def always(topics: Any, timeout_ms: int) -> Any:
        return topics

    hive._trips.wait = always  # type: ignore[method-assign]
    puts = 0

    async def count(op: Any) -> None:
        nonlocal puts
        puts += isinstance(op, Put)

    await taken(hive)
    before_commits(hive, count)
    with pytest.raises(AlreadyExists):
        async with hive.locks.acquire("l", wait=0.3):
            raise AssertionError
    assert puts < 20


async def test_it_is_kept_alive(hive: Store) -> None:
    async with hive.locks.acquire("l", ttl=0.06) as lock:
        await asyncio.sleep(0.2)
        holder = await hive.locks.holder("l")
        assert holder is not None
        assert holder.fencing_token == lock.fencing_token


async def test_a_lost_lock_cancels_the_block(hive: Store) -> None:
    clock = Clock(hive)
    lock = await taken(hive, ttl=0.06)
    clock.ahead += 60
    other = await taken(hive)
    with pytest.raises(LeaseLost, match="lock 'l'"):
        async with asyncio.timeout(5), lock:
            await asyncio.sleep(10)
    assert lock.lost
    assert cast("asyncio.Task[Any]", asyncio.current_task()).cancelling() == 0
    holder = await hive.locks.holder("l")
    assert holder is not None
    assert holder.fencing_token == other.fencing_token


async def test_a_cancellation_from_outside_outranks_the_loss(hive: Store) -> None:
    clock = Clock(hive)

    async def hold() -> None:
        async with hive.locks.acquire("l", ttl=0.06):
            clock.ahead += 60
            try:
                await asyncio.sleep(5)
            finally:
                task.cancel()

    task = asyncio.create_task(hold())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_store_that_is_gone_for_too_long_loses_it(hive: Store) -> None:
    async def fail(op: Any) -> None:
        if isinstance(op, Touch | Delete):
            raise Unavailable("away")

    before_commits(hive, fail)
    with pytest.raises(LeaseLost) as caught:
        async with hive.locks.acquire("l", ttl=0.06):
            await asyncio.sleep(5)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_loss_nobody_noticed_is_raised_at_the_end(hive: Store) -> None:
    clock = Clock(hive)
    with pytest.raises(LeaseLost):
        async with hive.locks.acquire("l", ttl=10):
            clock.ahead += 10_000
    lock = await taken(hive, ttl=10)
    clock.ahead += 10_000
    with pytest.raises(KeyError):
        async with lock:
            raise KeyError
    assert lock.lost


@pytest.mark.parametrize("error", [KeyError("k"), asyncio.CancelledError()])
async def test_an_error_of_the_block_releases_it(hive: Store, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        async with hive.locks.acquire("l"):
            raise error
    assert caught.value is error
    assert await hive.locks.holder("l") is None


async def test_a_cancelled_block_releases_it_even_if_cancelled_again(hive: Store) -> None:
    async def hold() -> None:
        async with hive.locks.acquire("l"):
            await asyncio.sleep(5)

    task = asyncio.create_task(hold())
    while await hive.locks.holder("l") is None:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await free(hive)


async def test_cancelling_an_acquire_at_any_step_leaves_nothing(hive: Store) -> None:
    for steps in range(25):
        task = asyncio.create_task(taken(hive))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert await hive.locks.release(task.result())
        async with asyncio.timeout(5), hive.locks.acquire("l"):
            pass


async def test_a_timeout_takes_nothing(hive: Store) -> None:
    async def slow(op: Any) -> None:
        if isinstance(op, Put):
            await asyncio.sleep(0.03)

    before_commits(hive, slow)
    with pytest.raises(Unavailable):
        await hive.locks.try_acquire("l", timeout=0.005)
    await asyncio.sleep(0.04)
    await free(hive)


async def test_a_release_that_the_store_does_not_take_is_logged(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(op: Any) -> None:
        if isinstance(op, Delete):
            raise Indeterminate("cut")

    before_commits(hive, fail)
    with caplog.at_level(logging.WARNING, "hive_state"):
        async with hive.locks.acquire("l"):
            pass
    assert "lock 'l' was not given back" in caplog.text


async def test_release_tries_again(hive: Store) -> None:
    failures = [Unavailable("a"), Unavailable("b")]

    async def fail(op: Any) -> None:
        if isinstance(op, Delete) and failures:
            raise failures.pop()

    before_commits(hive, fail)
    async with hive.locks.acquire("l", ttl=10):
        pass
    assert await hive.locks.holder("l") is None


async def test_released_within_the_block(hive: Store) -> None:
    async with hive.locks.acquire("l") as lock:
        assert await hive.locks.release(lock)
        other = await taken(hive)
    assert await hive.locks.release(other)
    assert not await hive.locks.release(other)
    with pytest.raises(InvalidArgument):
        async with lock:
            raise AssertionError


async def test_extending_what_is_lost(hive: Store) -> None:
    clock = Clock(hive)
    lock = await taken(hive, ttl=1)
    clock.ahead += 1000
    with pytest.raises(LeaseLost) as caught:
        await hive.locks.extend(lock)
    assert (caught.value.expected, caught.value.actual) == (lock.fencing_token, 0)


async def test_a_stale_holder_cannot_write(hive: Store) -> None:
    clock = Clock(hive)
    stale = await taken(hive, ttl=1)
    async with hive.atomic() as unit:
        unit.locks.expect(stale)
        unit.records.put("c", "k", 1)
    await hive.locks.extend(stale)  # a later version, the same holder
    async with hive.atomic() as unit:
        unit.locks.expect(stale)
        unit.records.put("c", "k", 2)
    clock.ahead += 1000
    current = await taken(hive, ttl=1)
    unit = hive.atomic()
    unit.records.put("c", "k", 3)
    unit.locks.expect(stale)
    with pytest.raises(LeaseLost, match="lock 'l' is not held any more") as caught:
        await unit.commit()
    assert (caught.value.expected, caught.value.actual) == (stale.fencing_token, current.fencing_token)
    assert stale.lost
    record = await hive.records.get("c", "k")
    assert record is not None
    assert record.value == 2


async def test_other_conflicts_of_such_a_unit_stay_what_they_are(hive: Store) -> None:
    lock = await taken(hive)
    await hive.records.put("c", "k", 1)
    unit = hive.atomic()
    unit.locks.expect(lock)
    unit.records.put("c", "k", 2, if_absent=True)
    with pytest.raises(AlreadyExists):
        await unit.commit()
    assert not lock.lost


async def test_arguments(hive: Store) -> None:
    for wrong in ({"ttl": 0}, {"ttl": None}, {"owner": ""}, {"owner": 5}):
        with pytest.raises(InvalidArgument):
            await hive.locks.try_acquire("l", **cast(Any, wrong))
    with pytest.raises(InvalidArgument):
        async with hive.locks.acquire("l", wait=-1):
            raise AssertionError
    with pytest.raises(LimitExceeded):
        await hive.locks.holder("x" * 1025)
