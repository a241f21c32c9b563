"""Stores that are cut off from the cache, and the relay, which hear of each other by notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hive_state_core.batching import ALONE
from hive_state_core.features import Consistency
from hive_state_hybrid import fencing
from hive_state_hybrid.board import ANSWERS, CUT_OFF
from hive_state_hybrid.fencing import Fence
from tests.virtual_time import now

from .test_races import BEAT, Hive, Side, opened

pytestmark = pytest.mark.prompt


@pytest.fixture
async def strict() -> AsyncIterator[Hive]:
    async for made in opened(Consistency.LINEARIZABLE):
        yield made


def fence_of(side: Side) -> Fence:
    fence = side.driver._front.fence
    assert fence is not None
    return fence


async def notes(side: Side) -> dict[str, bytes]:
    return dict(await side.driver._port.notes())


async def mended(side: Side) -> None:
    side.cache.cut = False
    while fence_of(side)._task is not None:
        await asyncio.sleep(0.01)


async def test_who_waited_spares_the_others_from_waiting(strict: Hive) -> None:
    one, two = strict.one, strict.two
    for side, waits in ((one, True), (two, False)):
        side.cache.cut = True
        began = now()
        await side.write(b"2")
        assert (now() - began > BEAT * 0.9) == waits
    assert [name.startswith(CUT_OFF) for name in await notes(one)] == [True, True]
    assert await one.driver.notes() == {}, "they are nobody else's"
    await mended(one)
    assert not await one.beat(), "the other is cut off still"
    await mended(two)
    assert await notes(one) == {}
    assert await one.beat()
    assert await notes(one) == {ANSWERS: b"%d" % (BEAT * 1000)}


async def test_a_cache_that_never_answered_is_not_waited_for(strict: Hive) -> None:
    one = strict.one
    await one.driver._port.note({ANSWERS: None})
    one.cache.cut = True
    began = now()
    await one.write(b"2")
    assert now() - began < BEAT / 2
    await mended(one)


async def test_a_fence_that_ends_in_the_middle_of_a_round(
    strict: Hive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written under it was pushed by nobody."""
    one, two = strict.one, strict.two
    assert await two.read() == b"1"
    one.cache.cut = True
    await one.write(b"2")
    drop = two.driver._relay._drop_marked

    async def and_then_it_ends() -> None:
        await drop()
        await one.write(b"3")
        await mended(one)

    with monkeypatch.context() as patch:
        patch.setattr(two.driver._relay, "_drop_marked", and_then_it_ends)
        assert not await two.beat()
    assert await two.read() == b"3"
    assert await two.beat()
    assert await two.read() == b"3"


async def test_who_slept_for_too_long_begins_anew(strict: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have taken its note for ended, and the cache answers them."""
    one, two = strict.one, strict.two
    fence = fence_of(one)
    with monkeypatch.context() as patch:
        patch.setattr(fencing, "LASTS_MS", 1)
        patch.setattr(fencing, "SPARE", -10.0)
        patch.setattr(fencing, "RENEWED", 0.1)
        one.cache.cut = True
        await one.write(b"2")
        await asyncio.sleep(0.01)
        assert await two.beat()
        assert fence.safe, "it does not know yet"
    while fence.safe:
        await asyncio.sleep(0.01)
    await one.write(b"3")
    assert not await two.beat()
    assert await two.read() == b"3"
    await mended(one)


async def test_a_lone_writer_is_not_cancelled_by_a_cache_that_hangs(strict: Hive) -> None:
    """A trip of its own runs in its caller's task, timeouts included."""
    one = strict.one
    for _ in range(2 * ALONE):
        await one.write(b"2")
    one.driver._front.breaker._timeout = 0.05
    one.cache.may_push.clear()
    await one.write(b"3")
    assert await strict.two.read() == b"3"
    await mended(one)
