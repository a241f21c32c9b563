"""The library in the server: sent again when it is not there, refused whole when there is no memory, and made
of commands that Redis 7.0 has."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hive_state_conformance.env import Env
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.life import live
from hive_state_core import open_store
from hive_state_core.embedded import Server
from hive_state_core.errors import StoreFull
from hive_state_redis.library import library


async def test_a_server_that_forgot_it_is_sent_it_again(server: Server) -> None:
    async with open_store(server.url, janitor=False) as hive:
        first = await hive.records.put("c", "k", 1)
        driver: Any = hive._driver
        await driver._caller.link.call("FUNCTION", "FLUSH")
        assert await hive.records.put("c", "k", 2) > first
        await driver._caller.link.call("FUNCTION", "FLUSH")
        assert (await hive.stats()).records == {"c": 1}


async def test_without_memory_a_trip_does_nothing(server: Server) -> None:
    """Reads go on, and so do writes once there is memory again."""
    async with open_store(server.url, janitor=False) as hive:
        await hive.records.put("c", "k", 1)
        driver: Any = hive._driver
        link = driver._caller.link
        await link.call("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreFull):
            await hive.records.put("c", "k", 2)
        with pytest.raises(StoreFull):
            await hive.tasks.enqueue("q", 1)
        assert (await hive.records.get("c", "k")).value == 1  # type: ignore[union-attr]
        await link.call("CONFIG", "SET", "maxmemory", "0")
        await hive.records.put("c", "k", 3)
        assert (await hive.stats()).queues == {}


def paired(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def test_no_command_is_newer_than_redis_7(server: Server) -> None:
    """By what the server documents of all that it did in a store's life, and of all that functions name."""
    named = {name.lower().encode() for name in re.findall(r'call\("([A-Z]+)"', library().source)}
    async with open_store(server.url, janitor=False) as hive:
        await live(Env(UrlHarness(server.url), hive.namespace, hive))
        driver: Any = hive._driver
        link = driver._caller.link
        told = await link.call("INFO", "commandstats")
        names = named | {line.partition(b":")[0].removeprefix(b"cmdstat_") for line in told.split()[2:]}
        docs = paired(await link.call("COMMAND", "DOCS", *names))
    since = {name: paired(about)[b"since"].decode().split(".") for name, about in docs.items()}
    assert {b"fcall", b"function|load", b"mget", b"xreadgroup", b"zadd"} <= since.keys()
    assert since.keys() == names
    newer = [name for name, (major, minor, _) in since.items() if (int(major), int(minor)) > (7, 0)]
    assert newer == []
