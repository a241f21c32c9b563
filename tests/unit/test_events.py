"""Events of a stream, on the reference store: published, read, followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.errors import (
    CorruptData,
    Indeterminate,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    Unavailable,
    Unsupported,
)
from hive_state_core.events import Gap
from hive_state_core.features import Facility
from hive_state_core.model import StreamRef
from hive_state_core.spi import Append, Batch

from .eventful import bodies, some

pytestmark = pytest.mark.prompt


# --- publish and read


async def test_publish_and_read(hive: Store) -> None:
    assert await hive.events.publish("s", {"n": 1}) == 1
    assert await hive.events.publish("s", b"\xff\x00") == 2
    one, two = await hive.events.read("s")
    assert (one.stream, one.seq, one.body, two.body) == ("s", 1, {"n": 1}, b"\xff\x00")
    assert one.at.tzinfo is UTC
    assert two.version > one.version
    assert repr(one) == "Event('s', seq=1)"
    one.body["n"] = 2
    assert (await hive.events.read("s"))[0].body == {"n": 1}
    assert await hive.events.read("other") == []


async def test_racing_publishers_leave_no_gap(hive: Store) -> None:
    seqs = await asyncio.gather(*[hive.events.publish("s", n) for n in range(100)])
    assert sorted(seqs) == list(range(1, 101))
    found = await hive.events.read("s", limit=1000)
    assert [seqs[event.body] for event in found] == [event.seq for event in found]


async def test_publish_many_is_contiguous_and_all_or_nothing(hive: Store) -> None:
    runs = await asyncio.gather(*[hive.events.publish_many("s", range(10)) for _ in range(8)])
    assert all(run == list(range(run[0], run[0] + 10)) for run in runs)
    assert await hive.events.publish_many("s", []) == []
    with pytest.raises(InvalidArgument):
        await hive.events.publish_many("s", [1, object()])
    with pytest.raises(LimitExceeded):
        await hive.events.publish_many("s", range(1001))
    assert await hive.events.publish("s", 0) == 81


async def test_read_bounds(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 8))
    read = hive.events.read
    assert bodies(await read("s", start=6)) == [6, 7]
    assert bodies(await read("s", start=3, limit=2)) == [3, 4]
    assert bodies(await read("s", start=3, reverse=True)) == [3, 2, 1]
    assert bodies(await read("s", limit=2, reverse=True)) == [7, 6]
    assert await read("s", start=8) == []
    for wrong in ({"start": 0}, {"limit": 0}, {"limit": 1001}, {"start": True}, {"start": 2**53}):
        with pytest.raises(InvalidArgument):
            await read("s", **cast(Any, wrong))


async def test_what_was_trimmed_is_a_gap(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 8))
    trimmed = await hive.events.trim("s", first=5)
    assert (trimmed.removed, trimmed.dropped, trimmed.first) == (4, 0, 5)
    for reverse in (False, True):
        with pytest.raises(Gap, match="begins at 5") as caught:
            await hive.events.read("s", start=4, reverse=reverse)
        assert isinstance(caught.value, NotFound)
        assert (caught.value.start, caught.value.first) == (4, 5)
    assert bodies(await hive.events.read("s")) == [5, 6, 7]
    assert bodies(await hive.events.read("s", start=5)) == [5, 6, 7]


async def test_names(hive: Store) -> None:
    for wrong in ("", "hive:checkpoint:x", "hive:", "a\0", 5):
        with pytest.raises(InvalidArgument):
            await hive.events.publish(cast(str, wrong), 1)
        with pytest.raises(InvalidArgument):
            hive.events.follow(cast(str, wrong))
    with pytest.raises(InvalidArgument):
        await hive.events.create_group("hive:snapshots", "g")
    for literal in ("%", "_", "a b", "HIVE:", "hive"):
        assert await hive.events.publish(literal, 1) == 1


async def test_a_body_that_cannot_be_decoded(hive: Store) -> None:
    await hive._trips.commit(Batch((Append(StreamRef("s"), b"{"),)))
    await hive.events.publish("s", 2)
    bad, good = await hive.events.read("s")
    assert good.body == 2
    with pytest.raises(CorruptData):
        _ = bad.body


async def test_drop_does_not_use_seqs_again(hive: Store) -> None:
    await some(hive, 3)
    assert await hive.events.drop("s")
    assert not await hive.events.drop("s")
    assert await hive.events.read("s") == []
    with pytest.raises(NotFound):
        await hive.events.claim("s", "g")
    assert await hive.events.publish("s", 4) == 4


async def test_a_store_without_streams_is_told_apart_before_any_call(hive: Store) -> None:
    hive._trips._lacks = frozenset({Facility.STREAMS})
    driver = cast(Any, hive._driver)
    features = replace(hive.features, facilities=frozenset({Facility.TASKS}))
    hive._trips.driver = cast(Any, type("Plain", (), {"features": features}))()
    calls = [
        hive.events.publish("s", 1),
        hive.events.read("s"),
        hive.events.create_group("s", "g"),
        hive.events.claim("s", "g"),
        hive.events.trim("s", keep=1),
        hive.events.lag("s", "g"),
        anext(hive.events.follow("s")),
        anext(hive.events.subscribe("s", group="g")),
        anext(hive.events.consume("s", group="g", create=False)),
        hive.checkpoints.save("c", 1),
        hive.checkpoints.prune("c"),
        anext(cast(Any, hive.checkpoints.names())),
    ]
    for call in calls:
        with pytest.raises(Unsupported):
            await call
    hive._trips.driver = driver


# --- follow


async def test_follow_from_a_seq(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 4))
    found = []
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=2)) as events:
        async for event in events:
            found.append(event.body)
            if len(found) < 20:
                await hive.events.publish("s", len(found) + 3)
            if event.body == 20:
                break
    assert found == list(range(2, 21))


@pytest.mark.parametrize("dropped", [False, True])
async def test_follow_from_now_on_misses_nothing(hive: Store, dropped: bool) -> None:
    await hive.events.publish("s", "old")
    if dropped:
        await hive.events.drop("s")
    stream, looked = hive._trips.stream, asyncio.Event()

    async def look(*args: Any) -> Any:
        page = await stream(*args)
        looked.set()
        return page

    hive._trips.stream = look  # type: ignore[assignment]
    async with asyncio.timeout(20), aclosing(hive.events.follow("s", poll=5)) as events:
        asked = asyncio.ensure_future(anext(events))
        await looked.wait()
        await hive.events.publish_many("s", [1, 2])
        assert ((await asked).body, (await anext(events)).body) == (1, 2)


async def test_follow_without_hints_and_through_trouble(hive: Store) -> None:
    stream, troubles = hive._trips.stream, [Unavailable("a"), Indeterminate("b")]

    async def trouble(*args: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return await stream(*args)

    async def never(topics: Any, timeout_ms: int) -> Any:
        raise Unavailable("no hints today")

    hive._trips.stream = trouble  # type: ignore[assignment]
    hive._trips.wait = never  # type: ignore[method-assign]
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=1, poll=0.01)) as events:
        asked = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        await hive.events.publish("s", 1)
        assert (await asked).body == 1


async def test_wrong_hints_make_no_busy_loop(hive: Store) -> None:
    stream, looks = hive._trips.stream, 0

    async def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await stream(*args)

    async def always(topics: Any, timeout_ms: int) -> Any:
        return topics

    hive._trips.stream = counted  # type: ignore[assignment]
    hive._trips.wait = always  # type: ignore[method-assign]
    async with aclosing(hive.events.follow("s", start=1)) as events:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(events)
    assert looks < 20


async def test_a_follower_that_is_overtaken_is_told(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 4))
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=1)) as events:
        for number in (1, 2, 3):
            assert (await anext(events)).body == number
        await hive.events.publish_many("s", range(4, 9))
        await hive.events.trim("s", keep=2)
        with pytest.raises(Gap) as caught:
            await anext(events)
    assert (caught.value.start, caught.value.first) == (4, 7)
    with pytest.raises(Gap):
        await anext(hive.events.follow("s", start=1))


async def test_closing_the_store_ends_the_loops() -> None:
    async def drain(events: AsyncIterator[Any]) -> list[Any]:
        return [event async for event in events]

    async with asyncio.timeout(5):
        async with open_store("memory://") as hive:
            loops = [
                asyncio.create_task(drain(hive.events.follow("s", poll=0.05))),
                asyncio.create_task(drain(hive.events.consume("s", group="a", poll=0.05))),
                asyncio.create_task(drain(hive.events.subscribe("s", group="b", poll=0.05))),
            ]
            await asyncio.sleep(0.02)
        assert await asyncio.gather(*loops) == [[], [], []]
