"""The library in the server: sent again when it is not there, refused whole when there is no memory."""

from __future__ import annotations

from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.embedded import Server
from hive_state_core.errors import StoreFull


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
