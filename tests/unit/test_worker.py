"""Consuming a queue: back-off, `work`, `consume`."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from hive_state_core import Store, open_store
from hive_state_core.backoff import Backoff
from hive_state_core.errors import (
    AccessDenied,
    HiveStateError,
    Indeterminate,
    InvalidArgument,
    Sealed,
    Unavailable,
)
from hive_state_core.leases import Lease
from hive_state_core.model import TaskState
from hive_state_core.spi import ClaimTasks

pytestmark = pytest.mark.prompt

SOON = Backoff(base=0.0, jitter="none")


class Claims:
    """Counts the claims; `trouble` is called before each of them and may raise."""

    def __init__(self, hive: Store, trouble: Callable[[int], None] = lambda _: None) -> None:
        self.count = 0
        self.limits: list[int] = []
        trips = hive._trips
        claim = trips.claim

        async def counted(request: Any, timeout: float | None = None) -> Any:
            self.count += 1
            self.limits.append(cast(ClaimTasks, request).limit)
            trouble(self.count)
            return await claim(request, timeout)

        trips.claim = counted  # type: ignore[method-assign]


def hints(hive: Store, wait: Callable[[int], Any]) -> None:
    """`wait(milliseconds)` instead of the driver's, in seconds to sleep, and what it heard."""

    async def waited(topics: frozenset[Any], timeout_ms: int) -> frozenset[Any]:
        seconds, heard = wait(timeout_ms)
        await asyncio.sleep(seconds)
        return topics if heard else frozenset()

    hive._trips.wait = waited  # type: ignore[method-assign]


async def until(hive: Store, states: list[str], count: int) -> None:
    async with asyncio.timeout(5):
        while await hive.tasks.count(states=states) != count:
            await asyncio.sleep(0.002)


async def stopped(work: asyncio.Task[None]) -> None:
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def start(hive: Store, handler: Any, **options: Any) -> asyncio.Task[None]:
    return asyncio.create_task(hive.tasks.work("q", handler, worker="w", **options))


# --- the back-off


def test_backoff_grows_to_its_cap() -> None:
    backoff = Backoff(jitter="none")
    assert [backoff.delay(n) for n in (1, 2, 3, 9, 10, 32767)] == [1, 2, 4, 256, 300, 300]
    assert Backoff(base=0, jitter="none").delay(32767) == 0


@pytest.mark.parametrize(("jitter", "least"), [("full", 0), ("equal", 4)])
def test_backoff_jitters(jitter: Any, least: float) -> None:
    delays = [Backoff(jitter=jitter).delay(4) for _ in range(500)]
    assert least <= min(delays) < least + 2
    assert 6 < max(delays) <= 8


@pytest.mark.parametrize("wrong", [{"base": -1}, {"base": 400}, {"factor": 0.5}, {"jitter": "some"}])
def test_backoff_refuses_nonsense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Backoff(**wrong)


# --- work


async def test_results_are_stored_and_stop_ends_it(hive: Store) -> None:
    made = await hive.tasks.enqueue_many("q", range(20))
    stop = asyncio.Event()

    async def double(lease: Lease) -> int:
        if lease.payload == 19:
            stop.set()
        return cast(int, lease.payload * 2)

    async with asyncio.timeout(5):
        await hive.tasks.work("q", double, worker="w", stop=stop, concurrency=3)
    tasks = [await hive.tasks.get(one.id) for one in made]
    assert [task and task.result for task in tasks] == [n * 2 for n in range(20)]


async def test_concurrency_is_reached_and_respected(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(40))
    claims = Claims(hive)
    now = most = 0

    async def handler(lease: Lease) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    work = start(hive, handler, concurrency=4)
    await until(hive, ["completed"], 40)
    await stopped(work)
    assert most == 4
    assert max(claims.limits) == 4


async def test_stop_lets_running_handlers_finish(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(3))
    stop, go = asyncio.Event(), asyncio.Event()

    async def handler(lease: Lease) -> str:
        await go.wait()
        return "done"

    work = start(hive, handler, concurrency=2, stop=stop)
    await until(hive, ["leased"], 2)
    stop.set()
    await asyncio.sleep(0.005)
    assert not work.done()
    go.set()
    await work
    assert await hive.tasks.count(states=["completed"]) == 2
    assert await hive.tasks.count(states=["ready"]) == 1


async def test_stop_wakes_an_idle_worker_and_one_that_is_set_claims_nothing(hive: Store) -> None:
    async def handler(lease: Lease) -> None: ...

    stop = asyncio.Event()
    work = start(hive, handler, stop=stop, poll=30)
    await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(work, 1)
    claims = Claims(hive)
    await start(hive, handler, stop=stop)
    assert claims.count == 0


async def test_cancelling_cancels_the_handlers_and_releases_their_leases(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(5))
    cancelled = 0

    async def handler(lease: Lease) -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    work = start(hive, handler, concurrency=3)
    await until(hive, ["leased"], 3)
    await stopped(work)
    assert cancelled == 3
    tasks = [task async for task in hive.tasks.list()]
    assert [(task.state, task.attempt) for task in tasks] == [(TaskState.READY, 0)] * 5


async def test_leases_of_handlers_that_had_not_begun_are_released_too(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(3))

    async def handler(lease: Lease) -> None:
        await asyncio.sleep(10)

    for turns in range(12):
        work = start(hive, handler, concurrency=3)
        for _ in range(turns):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work})
        await asyncio.sleep(0.002)  # a claim under way is given back in the background
        assert await hive.tasks.count(states=["ready"]) == 3, f"cancelled after {turns} turns"


async def test_a_failing_handler_is_retried_until_dead_and_stops_nothing(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bad = await hive.tasks.enqueue("q", {"secret": "s3cret"}, max_attempts=3)

    async def handler(lease: Lease) -> None:
        if lease.id == bad.id:
            raise ValueError("bad")

    with caplog.at_level(logging.WARNING, "hive_state"):
        work = start(hive, handler, backoff=SOON, concurrency=2)
        await until(hive, ["dead"], 1)
        await hive.tasks.enqueue_many("q", range(5))
        await until(hive, ["completed"], 5)
        await stopped(work)
    task = await hive.tasks.get(bad.id)
    assert task is not None
    assert (task.attempt, task.error) == (3, "ValueError: bad")
    assert len(caplog.records) == 3
    assert bad.id in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_handler_that_cancels_itself_is_a_failure(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await hive.tasks.enqueue("q", 1, max_attempts=1)

    async def handler(lease: Lease) -> None:
        raise asyncio.CancelledError

    work = start(hive, handler)
    await until(hive, ["dead"], 1)
    while "attempt 1 of 1" not in caplog.text:
        await asyncio.sleep(0.001)
    assert not work.done()
    await stopped(work)


async def test_a_handler_whose_lease_is_lost_is_cancelled_and_reported(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(lease: Lease) -> None:
        if lease.task.attempt == 1 and not caplog.text:
            await hive.tasks.release(copy.copy(lease))  # as if it had been taken away
            await asyncio.sleep(60)

    task = await hive.tasks.enqueue("q", 1)
    work = start(hive, handler, lease=0.03)
    await until(hive, ["completed"], 1)
    assert f"task {task.id} of queue q: the lease of task '{task.id}'" in caplog.text
    await stopped(work)


async def test_a_handler_may_end_the_lease_by_a_unit(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)

    async def handler(lease: Lease) -> str:
        async with hive.atomic() as unit:
            unit.tasks.complete(lease, "by unit")
            unit.records.put("c", "k", 1)
        return "by return"

    work = start(hive, handler)
    await until(hive, ["completed"], 1)
    await stopped(work)
    assert [task.result async for task in hive.tasks.list()] == ["by unit"]


@pytest.mark.parametrize("kind", [Unavailable, Sealed, Indeterminate])
async def test_trouble_is_waited_out(hive: Store, kind: type[HiveStateError]) -> None:
    await hive.tasks.enqueue("q", 1)

    def trouble(count: int) -> None:
        if count <= 2:
            raise kind("not now")

    claims = Claims(hive, trouble)

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler)
    await until(hive, ["completed"], 1)
    await stopped(work)
    assert 3 <= claims.count < 8


async def test_an_error_that_waiting_does_not_mend_is_raised(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)

    def trouble(count: int) -> None:
        if count == 2:
            raise AccessDenied("no")

    Claims(hive, trouble)

    async def handler(lease: Lease) -> None:
        await asyncio.sleep(10)

    with pytest.raises(AccessDenied):
        await asyncio.wait_for(start(hive, handler), 5)
    assert await hive.tasks.count(states=["ready"]) == 1


async def test_closing_the_store_ends_it() -> None:
    async def handler(lease: Lease) -> None: ...

    hive = open_store("memory://")
    await hive.open()
    work = start(hive, handler, poll=0.02)
    await asyncio.sleep(0.01)
    await hive.close()
    await asyncio.wait_for(work, 1)


async def test_an_idle_worker_is_woken_long_before_it_polls(hive: Store) -> None:
    done = asyncio.Event()

    async def handler(lease: Lease) -> None:
        done.set()

    claims = Claims(hive)
    work = start(hive, handler, poll=30)
    for _ in range(5):
        await asyncio.sleep(0.01)
        done.clear()
        await hive.tasks.enqueue("q", 1)
        await asyncio.wait_for(done.wait(), 1)
    await stopped(work)
    assert claims.count < 25


async def test_a_due_task_is_claimed_at_its_time_although_nothing_is_heard(hive: Store) -> None:
    hints(hive, lambda ms: (ms / 1000, False))
    done = asyncio.Event()

    async def handler(lease: Lease) -> None:
        done.set()

    await hive.tasks.enqueue("q", 1, delay=0.03)
    claims = Claims(hive)
    work = start(hive, handler, poll=30)
    await asyncio.wait_for(done.wait(), 1)
    await stopped(work)
    assert claims.count < 6


async def test_polling_alone_is_enough(hive: Store) -> None:
    hints(hive, lambda ms: (3600, False))

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler, poll=0.01)
    await asyncio.sleep(0.02)
    await hive.tasks.enqueue("q", 1)
    await until(hive, ["completed"], 1)
    await stopped(work)


@pytest.mark.parametrize("heard", [True, False])
async def test_hints_that_come_at_once_make_no_busy_loop(hive: Store, heard: bool) -> None:
    hints(hive, lambda ms: (0, heard))
    claims = Claims(hive)

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler, poll=1)
    await asyncio.sleep(0.2)
    await stopped(work)
    assert claims.count < 15


async def test_a_wait_that_always_fails_makes_no_busy_loop(hive: Store) -> None:
    async def waited(topics: frozenset[Any], timeout_ms: int) -> frozenset[Any]:
        raise Unavailable("no hints today")

    hive._trips.wait = waited  # type: ignore[method-assign]
    claims = Claims(hive)

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler, poll=0.05)
    await asyncio.sleep(0.12)
    await hive.tasks.enqueue("q", 1)
    await until(hive, ["completed"], 1)
    await stopped(work)
    assert claims.count < 10


async def test_a_paused_queue_is_not_asked_all_the_time(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    await hive.tasks.pause("q")
    claims = Claims(hive)

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler, poll=0.05)
    await asyncio.sleep(0.1)
    assert claims.count < 8
    await hive.tasks.resume("q")
    await until(hive, ["completed"], 1)
    await stopped(work)


async def test_capabilities_are_passed_on(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, requires=["plan"])

    async def handler(lease: Lease) -> None: ...

    work = start(hive, handler, capabilities=["plan"])
    await until(hive, ["completed"], 1)
    await stopped(work)


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"lease": 0}, {"poll": 0}, {"capabilities": "plan"}],
)
async def test_wrong_arguments_are_refused(hive: Store, wrong: dict[str, Any]) -> None:
    async def handler(lease: Lease) -> None: ...

    with pytest.raises(InvalidArgument):
        await hive.tasks.work("q", handler, worker="w", **wrong)


async def test_many_workers_do_every_task_once(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(300))
    done: list[int] = []

    async def handler(lease: Lease) -> None:
        await asyncio.sleep(0)
        done.append(lease.payload)

    workers = [start(hive, handler, concurrency=5) for _ in range(8)]
    await until(hive, ["completed"], 300)
    for work in workers:
        work.cancel()
    await asyncio.wait(workers)
    assert sorted(done) == list(range(300))


# --- consume


async def test_consume_gives_one_lease_after_the_other(hive: Store) -> None:
    await hive.tasks.enqueue_many("q", range(3))
    seen = []
    async for lease in hive.tasks.consume("q", worker="w"):
        async with lease:
            seen.append(lease.payload)
        assert await hive.tasks.count(states=["leased"]) == 0
        if len(seen) == 3:
            break
    assert seen == [0, 1, 2]
    assert await hive.tasks.count(states=["completed"]) == 3


async def test_consume_waits_for_tasks_to_come(hive: Store) -> None:
    leases = hive.tasks.consume("q", worker="w", poll=30)
    following = asyncio.create_task(anext(leases))
    await asyncio.sleep(0.01)
    await hive.tasks.enqueue("q", "late")
    lease = await asyncio.wait_for(following, 1)
    async with lease:
        assert lease.payload == "late"
    await leases.aclose()


async def test_consume_closed_before_the_block_releases(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    leases = hive.tasks.consume("q", worker="w")
    lease = await anext(leases)
    await leases.aclose()
    assert lease.ended
    assert await hive.tasks.count(states=["ready"]) == 1


async def test_consume_broken_out_of_releases(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    async for _ in hive.tasks.consume("q", worker="w"):
        break
    await until(hive, ["ready"], 1)


async def test_consume_closed_within_the_block_leaves_the_lease_to_it(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    leases = hive.tasks.consume("q", worker="w")
    async with await anext(leases) as lease:
        await leases.aclose()
        assert not lease.ended
    assert await hive.tasks.count(states=["completed"]) == 1


async def test_consume_cancelled_while_it_waits(hive: Store) -> None:
    leases = hive.tasks.consume("q", worker="w", poll=30)
    following = asyncio.create_task(anext(leases))
    await asyncio.sleep(0.01)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    with pytest.raises(StopAsyncIteration):
        await anext(leases)


async def test_consume_uses_its_back_off_and_goes_on_after_a_failure(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1, max_attempts=2)
    attempts = []
    leases = hive.tasks.consume("q", worker="w", backoff=SOON)

    async def fail() -> None:
        async with await anext(leases) as lease:
            attempts.append(lease.attempt)
            raise ValueError("again")

    for _ in range(2):
        with pytest.raises(ValueError, match="again"):
            await fail()
    await leases.aclose()
    assert attempts == [1, 2]
    assert await hive.tasks.count(states=["dead"]) == 1


async def test_consume_ends_when_the_store_is_closed() -> None:
    hive = open_store("memory://")
    await hive.open()
    leases = hive.tasks.consume("q", worker="w", poll=0.02)
    following = asyncio.create_task(anext(leases))
    await asyncio.sleep(0.01)
    await hive.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(following, 1)
