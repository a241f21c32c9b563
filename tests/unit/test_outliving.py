"""Work that does not end with its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hive_state_core.outliving import Outliving

pytestmark = pytest.mark.prompt


class Orphans(list[asyncio.Task[Any]]):
    """Tasks that took over."""

    async def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await Outliving(work, self.append)


@pytest.fixture
def orphans() -> Orphans:
    return Orphans()


async def test_without_a_cancellation_it_is_a_plain_await(orphans: Orphans) -> None:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        await asyncio.sleep(0)
        return await ready + 1

    caller = asyncio.create_task(orphans.call(work()))
    await asyncio.sleep(0)
    ready.set_result(1)
    assert await caller == 2

    async def at_once() -> int:
        return 3

    assert await orphans.call(at_once()) == 3
    assert orphans == []


async def test_errors_reach_the_work_and_the_caller(orphans: Orphans) -> None:
    async def work(error: BaseException) -> str:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, error)
        try:
            await failing
        except KeyError:
            return "caught"
        return "not reached"

    assert await orphans.call(work(KeyError())) == "caught"
    with pytest.raises(ZeroDivisionError):
        await orphans.call(work(ZeroDivisionError()))
    assert orphans == []


async def test_a_future_of_the_work_may_be_cancelled_by_others(orphans: Orphans) -> None:
    async def work() -> None:
        waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waited.cancel)
        await waited

    with pytest.raises(asyncio.CancelledError):
        await orphans.call(work())
    assert orphans == []


@pytest.mark.parametrize("turns", range(6))
async def test_the_work_goes_on_wherever_its_caller_is_cancelled(orphans: Orphans, turns: int) -> None:
    """A caller that was cancelled leaves at once; the work sees nothing of it."""
    loop = asyncio.get_running_loop()
    steps: list[str] = []

    async def work() -> str:
        for step in ("first", "second"):
            waited: asyncio.Future[str] = loop.create_future()
            loop.call_soon(waited.set_result, step)
            steps.append(await waited)
            await asyncio.sleep(0)
        return "done"

    caller = asyncio.create_task(orphans.call(work()))
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    if caller.cancel():
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await orphans[0] == "done"
    else:
        assert (await caller, orphans) == ("done", [])
    assert steps == ["first", "second"]


async def test_an_error_reaches_work_whose_caller_is_gone(orphans: Orphans) -> None:
    failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await failing
        except KeyError:
            return "caught"
        return "not reached"

    caller = asyncio.create_task(orphans.call(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    failing.set_exception(KeyError())
    (orphan,) = orphans
    assert await orphan == "caught"


async def test_a_caller_does_not_wait_for_work_that_hangs(orphans: Orphans) -> None:
    ready = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await orphans.call(ready.wait())
    ready.set()
    assert await orphans[0] is True


async def too_long(seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return "given up"
    return "not reached"


async def test_a_timeout_of_the_work_is_not_its_callers(orphans: Orphans) -> None:
    assert await orphans.call(too_long(0.01)) == "given up"
    assert orphans == []
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_timeout_of_the_work_counts_when_its_caller_is_gone(orphans: Orphans) -> None:
    caller = asyncio.create_task(orphans.call(too_long(0.05)))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await orphans[0] == "given up"


async def test_a_timeout_within_a_timeout(orphans: Orphans) -> None:
    """What the caller has no time for goes on; what the work has no time for ends."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await orphans.call(too_long(0.05))
    assert await orphans[0] == "given up"


async def test_work_that_cancels_itself(orphans: Orphans) -> None:
    async def work() -> str:
        doer = asyncio.current_task()
        assert doer is not None
        doer.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return f"{doer.cancelling()}"
        return "not reached"

    assert await orphans.call(work()) == "1"
    assert orphans == []
