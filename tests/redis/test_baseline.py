"""The hand-written competitor does what it is compared for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hive_state_core.embedded import Server
from hive_state_core.errors import Closed, ConfigError, Unavailable
from hive_state_core.url import parse_url
from hive_state_redis.baseline import RedisBaseline
from hive_state_redis.connecting import Link
from hive_state_redis.options import parse_options
from tests.reference.baselines import CHECKS, Check


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


@pytest.mark.parametrize("check", CHECKS)
async def test_it_does_what_it_is_compared_for(baseline: RedisBaseline, check: Check) -> None:
    await check(baseline)


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
