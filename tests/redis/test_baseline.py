"""The hand-written competitor does what it is compared for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hive_state_core.embedded import Server
from hive_state_core.errors import Closed, ConfigError, Unavailable
from hive_state_core.url import parse_url
from hive_state_redis.baseline import RedisBaseline
from hive_state_redis.connecting import Link
from hive_state_redis.options import parse_options


@pytest.fixture
async def baseline(shared_server: Server, link: Link) -> AsyncIterator[RedisBaseline]:
    made = RedisBaseline(parse_options(parse_url(shared_server.url)))
    before = await link.call("DBSIZE")
    await made.open()
    yield made
    await made.close()
    assert await link.call("DBSIZE") == before
    with pytest.raises(Closed):
        await made.get("a")


async def test_records(baseline: RedisBaseline) -> None:
    assert await baseline.get("a") is None
    assert await baseline.cas("a", 1, 0) is None
    assert await baseline.put("a", {"n": 1}) == 1
    assert await baseline.put("a", {"n": 2}) == 2
    assert await baseline.get("a") == ({"n": 2}, 2)
    assert await baseline.cas("a", 0, 1) is None
    assert await baseline.cas("a", {"n": 3}, 2) == 3
    await baseline.load({f"k{n}": n for n in range(2500)})
    found = sorted(await baseline.records())
    assert len(found) == 2501
    assert found[:2] == [("a", {"n": 3}, 3), ("k0", 0, 1)]


async def test_one_of_many_that_compare_wins(baseline: RedisBaseline) -> None:
    await baseline.put("a", 0)
    found = await asyncio.gather(*(baseline.cas("a", n, 1) for n in range(50)))
    assert [version for version in found if version] == [2]


async def test_tasks(baseline: RedisBaseline) -> None:
    assert await baseline.claim("w") is None
    first = await baseline.enqueue({"n": 0})
    rest = await baseline.fill([{"n": n} for n in range(1, 12)])
    held = [await baseline.claim("w") for _ in range(13)]
    assert [task and task.id for task in held] == [first, *rest, None]
    assert [task and task.payload for task in held[:2]] == [{"n": 0}, {"n": 1}]
    assert held[0]
    assert await baseline.complete(held[0]) is True
    assert await baseline.complete(held[0]) is False
    assert dict(await baseline.tasks()) == {first: "completed"} | dict.fromkeys(rest, "leased")


async def test_events(baseline: RedisBaseline) -> None:
    assert sorted(await asyncio.gather(*(baseline.append(n) for n in range(20)))) == list(range(1, 21))
    assert len(await baseline.events()) == 20
    assert await baseline.unfinished() == 20
    taken = [await baseline.take(f"c{n % 3}") for n in range(21)]
    assert [event and event.seq for event in taken] == [*range(1, 21), None]
    assert taken[0]
    assert await baseline.ack(taken[0]) is True
    assert await baseline.ack(taken[0]) is False
    assert await baseline.unfinished() == 19


async def test_it_says_what_it_ran_on(baseline: RedisBaseline) -> None:
    about = await baseline.about()
    assert (about["pool"], about["appendonly"], about["appendfsync"]) == (20, "yes", "always")
    assert str(about["library"]).startswith("redis-py ")


async def test_what_it_cannot_be_compared_on() -> None:
    with pytest.raises(ConfigError, match="bench --raw compares on one server"):
        RedisBaseline(parse_options(parse_url("redis+cluster://h")))
    unreachable = RedisBaseline(parse_options(parse_url("redis://:secret@127.0.0.1:1")))
    with pytest.raises(Unavailable, match=r"cannot use Redis at 127\.0\.0\.1:1: ConnectionError"):
        await unreachable.open()
    await unreachable.close()
