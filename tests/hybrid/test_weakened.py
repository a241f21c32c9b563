"""Each rule of the cache protocol has a race that goes wrong without it, on a real server: the rules are the
flags of `tests.models.cache_states`, and what is said there of each is done here to the code that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import pytest

from hive_state_core.caching import Cache
from hive_state_core.errors import HiveStateError
from hive_state_core.features import Consistency
from hive_state_core.model import RecordRef
from hive_state_core.plugins import backend_for
from hive_state_core.spi import Batch, Put
from hive_state_core.url import parse_url
from hive_state_hybrid.board import CUT_OFF
from tests.models.cache_states import Rules

from .sides import REF, SIZE, Hive, Side, forget, hive_of
from .weakenings import WEAKENINGS

pytestmark = pytest.mark.no_cover  # the rules are run, and measured, in other tests too

Race = Callable[[Hive], Awaitable[None]]


async def warmed(hive: Hive) -> None:
    """The cache holds 1, and may answer. Nothing is marked any more."""
    await hive.two.beat()
    await hive.two.read()
    await hive.two.settled()
    await hive.two.beat()


async def call(hive: Hive, *command: bytes | str) -> None:
    """Something that is done to the server."""
    await (await hive.cache._opened()).call(*command)  # type: ignore[attr-defined]


async def evicted(hive: Hive) -> None:
    await call(hive, "DEL", hive.cache._entry(REF))  # type: ignore[attr-defined]


def after(method: Callable[..., Awaitable[Any]], doing: Callable[[], Awaitable[object]]) -> Any:
    """The method, and then, once, something else."""

    async def both(*args: Any) -> Any:
        nonlocal doing
        answer = await method(*args)
        then, doing = doing, nothing
        await then()
        return answer

    return both


async def nothing() -> None:
    pass


async def fenced(side: Side) -> None:
    """It is cut off, and has seen to it that no cache answers. It wrote nothing for that."""
    side.door.cut = True
    await side.read()


async def turned_off(hive: Hive) -> None:
    """No cache is said to answer, and nobody is cut off any more."""
    await fenced(hive.one)
    await hive.one.mended()


# --- linearizable: what the server does


async def a_late_write(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    first = await one.look()
    one.door.may_push.clear()
    writing = await one.until_held(one.swap(first, b"2"))
    await two.swap(await two.look(), b"3")
    one.door.may_push.set()
    await writing
    assert await three.read() == b"3"


async def a_late_write_to_an_empty_place(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    first = await one.look()
    one.door.may_push.clear()
    writing = await one.until_held(one.swap(first, b"2"))
    await two.swap(await two.look(), b"3")
    await evicted(hive)
    one.door.may_push.set()
    await writing
    assert await three.read() == b"3"


async def a_late_fill(hive: Hive) -> None:
    one, two, three = hive.sides
    await one.beat()
    two.door.may_push.clear()
    reading = await two.until_held(two.read())
    await one.write(b"2")
    two.door.may_push.set()
    await reading
    assert await three.read() == b"2"


async def a_late_fill_after_a_read_beside(hive: Hive) -> None:
    one, two, three = hive.sides
    await one.beat()
    two.door.may_push.clear()
    reading = await two.until_held(two.read())
    one.door.may_push.clear()
    await one.until_held(one.write(b"2"))
    assert await three.read() == b"2"
    two.door.may_push.set()
    await reading
    assert await three.read() == b"2"


async def a_late_relay(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    first = await one.look()
    one.door.may_push.clear()
    await one.until_held(one.swap(first, b"2"))  # and it dies
    two.door.may_push.clear()
    relaying = await two.until_held(two.beat())
    await three.swap(await three.look(), b"3")
    await evicted(hive)
    two.door.may_push.set()
    await relaying
    assert await three.read() == b"3"


# --- linearizable: who is cut off


async def a_write_that_nobody_hears_of(hive: Hive) -> None:
    one, two, _ = hive.sides
    await warmed(hive)
    one.door.cut = True
    await one.write(b"2")
    assert await two.read() == b"2"


async def a_read_that_nobody_hears_of(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.until_held(one.write(b"2"))
    three.door.cut = True
    assert await three.read() == b"2"
    assert await two.read() == b"2"


async def a_fence_that_nobody_hears_of(hive: Hive) -> None:
    one, two, _ = hive.sides
    one.door.cut = True
    await one.write(b"2")
    await two.beat()
    await two.read()
    await one.write(b"3")
    assert await two.read() == b"3"


async def a_fence_that_ends_in_a_round(hive: Hive) -> None:
    one, two, _ = hive.sides
    await warmed(hive)
    await fenced(one)

    async def ends() -> None:
        await one.write(b"2")
        await one.mended()

    two.driver._port.marks = after(two.driver._port.marks, ends)  # type: ignore[method-assign]
    await two.beat()
    assert await two.read() == b"2"


async def a_second_fence(hive: Hive) -> None:
    one, two, _ = hive.sides
    await turned_off(hive)
    await two.beat()
    await two.read()
    one.door.cut = True
    await one.write(b"2")
    assert await two.read() == b"2"


async def a_fence_while_it_is_said(hive: Hive) -> None:
    one, two, _ = hive.sides
    await warmed(hive)
    await turned_off(hive)
    port = two.driver._port
    port.notes = after(port.notes, lambda: fenced(one))  # type: ignore[method-assign]
    port.marks = after(port.marks, lambda: one.write(b"2"))  # type: ignore[method-assign]
    await two.beat()
    assert await two.read() == b"2"


async def two_fences_at_once(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    waiting = asyncio.create_task(fenced(one))
    await asyncio.sleep(0.03)
    three.door.cut = True
    await three.write(b"2")
    assert await two.read() == b"2"
    await waiting


async def an_end_of_a_fence(hive: Hive) -> None:
    one, two, _ = hive.sides
    await fenced(one)
    one.door.cut = False
    while any(name.startswith(CUT_OFF) for name in await two.driver._port.notes()):
        await asyncio.sleep(0.001)
    await two.beat()
    await two.read()
    await one.write(b"2")
    assert await two.read() == b"2"
    await one.mended()


# --- bounded: what nobody hears of in time


async def a_writer_that_dies(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.write(b"2")
    await asyncio.sleep(hive.bound)
    await two.beat()
    assert await three.read() == b"2"


async def a_write_while_a_mark_is_cleared(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.write(b"2")
    clear = two.driver._port.clear

    async def meanwhile(sink: str, marks: Any) -> int:
        await three.read()
        await three.settled()
        await one.write(b"3")
        return await clear(sink, marks)

    two.driver._port.clear = meanwhile  # type: ignore[method-assign]
    await two.beat()
    two.driver._port.clear = clear  # type: ignore[method-assign]
    await asyncio.sleep(hive.bound)
    await two.beat()
    assert await three.read() == b"3"


async def a_mark_of_a_push_that_fails(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    one.door.cut = True
    await one.write(b"2")
    await one.settled()
    one.door.cut = False
    await one.driver._relay._settle()
    await asyncio.sleep(hive.bound)
    await two.beat()
    assert await three.read() == b"2"


async def a_late_beat(hive: Hive) -> None:
    one, two, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()

    async def meanwhile() -> None:
        await one.write(b"2")
        await asyncio.sleep(hive.bound * 1.1)

    two.door.before_beat = meanwhile
    await two.beat()
    assert await three.read() == b"2"


# --- bounded: what a Store has written or read


async def an_own_write(hive: Hive) -> None:
    one, _, _ = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.write(b"2")
    assert await one.read() == b"2"


async def an_answer_that_comes_after_the_push(hive: Hive) -> None:
    one, _, _ = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.write(b"2")
    one.door.may_hear.clear()
    reading = asyncio.create_task(one.read())
    while one.door.held < 2:
        await asyncio.sleep(0.001)
    one.door.may_push.set()
    await one.settled()
    one.door.may_hear.set()
    assert await reading == b"2"


async def a_push_that_fails(hive: Hive) -> None:
    one, _, _ = hive.sides
    await warmed(hive)
    await one.write_cut_off(b"2")
    assert await one.read() == b"2"


async def a_read_beside(hive: Hive) -> None:
    one, two, _ = hive.sides
    await warmed(hive)
    two.door.may_push.clear()
    await two.write(b"2")
    await one.driver.read([REF])
    forget(one.front)
    assert await one.read() == b"2"


async def an_answer_that_comes_after_a_write(hive: Hive, *others: Put) -> None:
    """And after others, if there are any."""
    one, _, _ = hive.sides
    await warmed(hive)
    one.door.may_hear.clear()
    reading = await one.until_held(one.read())
    await one.write(b"2")
    if others:
        await one.trips.commit(Batch(others))
    one.door.may_hear.set()
    await reading
    assert await one.read() == b"2"


async def an_own_write_of_what_is_near(hive: Hive) -> None:
    one, _, _ = hive.sides
    await one.read()
    await one.write(b"2")
    assert await one.read() == b"2"


async def an_answer_that_comes_late(hive: Hive) -> None:
    one, _, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    three.door.may_hear.clear()
    reading = await three.until_held(three.read())
    await one.write(b"2")
    await asyncio.sleep(hive.bound * 1.05)
    three.door.may_hear.set()
    await reading
    assert await three.read() == b"2"


async def what_is_near_for_long(hive: Hive) -> None:
    one, _, three = hive.sides
    await three.read()
    await one.write(b"2")
    await asyncio.sleep(hive.bound * 1.05)
    assert await three.read() == b"2"


async def a_hit_at_the_end_of_a_beat(hive: Hive) -> None:
    one, _, three = hive.sides
    await warmed(hive)
    one.door.may_push.clear()
    await one.write(b"2")
    await asyncio.sleep(hive.bound * 0.6)
    await three.read()
    await asyncio.sleep(hive.bound * 0.45)
    assert await three.read() == b"2"


async def an_answer_that_comes_after_many_others(hive: Hive) -> None:
    await an_answer_that_comes_after_a_write(
        hive, *[Put(RecordRef("c", str(number)), b"1") for number in range(SIZE)]
    )


LINEARIZABLE: dict[str, Race] = {
    "guarded": a_late_write,
    "replaces_only": a_late_write_to_an_empty_place,
    "write_voids": a_late_fill,
    "fill_needs_lease": a_late_fill,
    "readers_push": a_late_fill_after_a_read_beside,
    "relay_drops": a_late_relay,
    "write_waits": a_write_that_nobody_hears_of,
    "read_waits": a_read_that_nobody_hears_of,
    "fence_heard": a_fence_that_nobody_hears_of,
    "fences_first": a_fence_that_ends_in_a_round,
    "announces": a_second_fence,
    "announces_first": a_fence_while_it_is_said,
    "off_when_waited": two_fences_at_once,
    "pushes_unfenced": an_end_of_a_fence,
}
BOUNDED: dict[str, Race] = {
    "marks": a_writer_that_dies,
    "clears_by_version": a_write_while_a_mark_is_cleared,
    "settles_pushed": a_mark_of_a_push_that_fails,
    "beats_drained": a_writer_that_dies,
    "beats_from_before": a_late_beat,
    "owes": an_own_write,
    "owed_when_asked": an_answer_that_comes_after_the_push,
    "doubts": a_push_that_fails,
    "remembers": a_read_beside,
    "near_guarded": an_answer_that_comes_after_a_write,
    "near_yields": an_own_write_of_what_is_near,
    "near_from_before": an_answer_that_comes_late,
    "near_from_beat": a_hit_at_the_end_of_a_beat,
    "near_ends": what_is_near_for_long,
    "near_closes": an_answer_that_comes_after_many_others,
}
LEVELS = {Consistency.LINEARIZABLE: LINEARIZABLE, Consistency.BOUNDED: BOUNDED}
RACES = [(flag, level, race) for level, races in LEVELS.items() for flag, race in races.items()]

PACES = (1, 2, 4, 8, 16)
"""A machine that is busy may be too slow for a cache to be asked in time, and then nothing goes wrong: each
attempt gives it more."""


def test_every_rule_has_a_race() -> None:
    flags = {field.name for field in fields(Rules) if field.default is True}
    assert {flag for flag, _, _ in RACES} | {"run_checked"} == flags == set(WEAKENINGS)


def cache_at(url: str) -> Callable[[], Cache]:
    place = parse_url(url)
    return lambda: backend_for(place).cached(place, "n")


async def goes_wrong(race: Race, level: Consistency, url: str, pace: float = 1) -> bool:
    async with hive_of(level, cache_at(url), pace) as hive:
        try:
            await race(hive)
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize(("flag", "level", "race"), RACES, ids=[flag for flag, _, _ in RACES])
async def test_it_goes_wrong_without_the_rule_only(
    flag: str, level: Consistency, race: Race, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await goes_wrong(race, level, valkey_url)
    WEAKENINGS[flag](monkeypatch)
    for pace in PACES:
        if await goes_wrong(race, level, valkey_url, pace):
            return
    pytest.fail("a read that is too old was not seen")


async def test_a_server_that_comes_back_with_what_it_held(
    valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def restarted(hive: Hive) -> None:
        one, two, three = hive.sides
        await warmed(hive)
        await call(hive, "SAVE")
        await one.write(b"2")
        await two.beat()
        await asyncio.to_thread(valkey.kill)
        await asyncio.to_thread(valkey.start)
        for side in (two, three):
            await reaching(side)
        await two.beat()
        assert await three.read() == b"2"

    level = Consistency.LINEARIZABLE
    assert not await goes_wrong(restarted, level, valkey.url)
    WEAKENINGS["run_checked"](monkeypatch)
    assert any([await goes_wrong(restarted, level, valkey.url, pace) for pace in PACES[:3]])


async def reaching(side: Side) -> None:
    while True:
        try:
            await side.front.ping()
            return
        except HiveStateError:
            await asyncio.sleep(0.01)
