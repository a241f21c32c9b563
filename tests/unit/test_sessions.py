"""Sessions, on the reference store."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any, cast

import pytest

from hive_state_core import Store
from hive_state_core.errors import AlreadyExists, Conflict, CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.sessions import Session, session_ref
from hive_state_core.spi import Batch, Put

pytestmark = pytest.mark.prompt


class Clock:
    """The store's clock, set by hand."""

    def __init__(self, hive: Store) -> None:
        self.ms = 1_000_000
        cast(Any, hive._driver)._memory.clock = lambda: self.ms


async def session_of(hive: Store, id: str) -> Session:
    session = await hive.sessions.get(id)
    assert session is not None
    return session


async def test_set_and_get(hive: Store) -> None:
    clock = Clock(hive)
    version = await hive.sessions.set("s", {"user": [1]}, ttl=timedelta(seconds=2))
    session = await session_of(hive, "s")
    assert (session.id, session.value, session.version) == ("s", {"user": [1]}, version)
    assert session.created_at == session.updated_at
    assert session.expires_at.tzinfo is UTC
    assert session.expires_at - session.created_at == timedelta(seconds=2)
    assert repr(session) == f"Session('s', version={version})"
    clock.ms += 500
    assert await hive.sessions.set("s", b"\x00\xff", ttl=9) > version
    again = await session_of(hive, "s")
    assert (again.value, again.created_at) == (b"\x00\xff", session.created_at)
    assert again.updated_at > again.created_at


async def test_it_expires_at_the_very_instant(hive: Store) -> None:
    clock = Clock(hive)
    await hive.sessions.set("s", 1, ttl=1.5)
    clock.ms += 1499
    assert await hive.sessions.count() == 1
    clock.ms += 1
    assert await hive.sessions.get("s") is None
    assert await hive.sessions.count() == 0
    assert [each async for each in hive.sessions.list()] == []
    assert not await hive.sessions.touch("s", ttl=10)
    assert not await hive.sessions.delete("s")
    await hive.sessions.set("s", 2, ttl=1, if_absent=True)


async def test_touch_slides_and_keeps_the_value(hive: Store) -> None:
    clock = Clock(hive)
    version = await hive.sessions.set("s", {"a": 1}, ttl=2)
    for _ in range(5):
        clock.ms += 1999
        assert await hive.sessions.touch("s", ttl=2)
    session = await session_of(hive, "s")
    assert (session.value, session.version > version) == ({"a": 1}, True)
    assert not await hive.sessions.touch("none", ttl=2)


async def test_racing_touches_never_shorten_it(hive: Store) -> None:
    clock = Clock(hive)
    await hive.sessions.set("s", 0, ttl=5)
    ends = [(await session_of(hive, "s")).expires_at]

    async def one() -> None:
        clock.ms += 7
        assert await hive.sessions.touch("s", ttl=5)
        ends.append((await session_of(hive, "s")).expires_at)

    await asyncio.gather(*[one() for _ in range(50)])
    assert ends == sorted(ends)


async def test_a_shorter_touch_shortens_it(hive: Store) -> None:
    clock = Clock(hive)
    await hive.sessions.set("s", 0, ttl=50)
    await hive.sessions.touch("s", ttl=1)
    clock.ms += 1000
    assert await hive.sessions.get("s") is None


async def test_conditions(hive: Store) -> None:
    version = await hive.sessions.set("s", 1, ttl=50, if_absent=True)
    with pytest.raises(AlreadyExists):
        await hive.sessions.set("s", 2, ttl=50, if_absent=True)
    newer = await hive.sessions.set("s", 2, ttl=50, if_version=version)
    with pytest.raises(Conflict) as caught:
        await hive.sessions.set("s", 3, ttl=50, if_version=version)
    assert (caught.value.expected, caught.value.actual) == (version, newer)
    assert (await session_of(hive, "s")).value == 2
    with pytest.raises(InvalidArgument):
        await hive.sessions.set("s", 3, ttl=50, if_version=newer, if_absent=True)


@pytest.mark.parametrize("ttl", [None, 0, -1, True, float("nan"), float("inf"), "5", timedelta(0)])
async def test_a_ttl_is_required_and_strict(hive: Store, ttl: Any) -> None:
    with pytest.raises(InvalidArgument):
        await hive.sessions.set("s", 1, ttl=ttl)
    with pytest.raises(InvalidArgument):
        await hive.sessions.touch("s", ttl=ttl)
    with pytest.raises(TypeError):
        await hive.sessions.set("s", 1)  # type: ignore[call-arg]
    assert await hive.sessions.count() == 0


async def test_ids_are_validated(hive: Store) -> None:
    with pytest.raises(InvalidArgument):
        await hive.sessions.get("")
    with pytest.raises(LimitExceeded):
        await hive.sessions.delete("x" * 1025)


async def test_list_and_count_by_prefix(hive: Store) -> None:
    ids = ["a", "a%", "a/1", "a/2", "b", "\U0010ffff", "\U0010ffffx"]
    for id in reversed(ids):
        await hive.sessions.set(id, id, ttl=50)
    assert [each.value async for each in hive.sessions.list()] == ids
    assert [each.id async for each in hive.sessions.list(prefix="a/")] == ["a/1", "a/2"]
    assert await hive.sessions.count(prefix="a") == 4
    assert await hive.sessions.count(prefix="\U0010ffff") == 2
    assert await hive.sessions.delete("a/1")
    assert await hive.sessions.count(prefix="a/") == 1


async def test_a_bad_value_does_not_hide_its_neighbours(hive: Store) -> None:
    await hive.sessions.set("a", 1, ttl=50)
    await hive._trips.commit(Batch((Put(session_ref("b"), b"{", ttl=50_000),)))
    await hive.sessions.set("c", 3, ttl=50)
    listed = [each async for each in hive.sessions.list()]
    assert [each.id for each in listed] == ["a", "b", "c"]
    with pytest.raises(CorruptData):
        _ = listed[1].value
    with pytest.raises(CorruptData):
        await hive.sessions.get("b")


async def test_in_a_unit(hive: Store) -> None:
    await hive.sessions.set("old", 1, ttl=50)
    await hive.sessions.set("kept", 1, ttl=50)
    async with hive.atomic() as unit:
        made = unit.sessions.set("new", 2, ttl=50, if_absent=True)
        gone = unit.sessions.delete("old")
        touched = unit.sessions.touch("kept", ttl=99)
        nothing = unit.sessions.touch("none", ttl=99)
    assert (made.result, gone.result, touched.result) == (unit.version, True, True)
    assert nothing.result is False
    unit = hive.atomic()
    unit.sessions.delete("kept")
    unit.sessions.set("new", 3, ttl=50, if_absent=True)
    with pytest.raises(AlreadyExists):
        await unit.commit()
    assert await hive.sessions.count() == 2


async def test_records_cannot_reach_them(hive: Store) -> None:
    with pytest.raises(InvalidArgument):
        await hive.records.get("hive:sessions", "s")
