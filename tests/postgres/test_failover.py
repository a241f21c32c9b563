"""URLs that name several servers: the one that takes writes is found, and found again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import open_store
from hive_state_core.embedded import postgres_server
from hive_state_core.errors import ConfigError, NotPrimary, Unavailable
from hive_state_core.url import parse_url
from hive_state_postgres.options import parse_options


def place(url: str) -> str:
    parsed = parse_url(url)
    return f"{parsed.host}:{parsed.port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """The place of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Any, Any]]:
    with postgres_server() as one, postgres_server() as two:
        yield one, two


@pytest.fixture
async def pair(servers: tuple[Any, Any]) -> tuple[str, str]:
    """URLs of two servers with a schema and the namespace in each, under the same password."""
    for server in servers:
        await open_store(server.url)._driver.schema("upgrade")
        async with open_store(server.url):
            pass
        db = await asyncpg.connect(server.url)
        await db.execute("ALTER ROLE hive PASSWORD 'both'")
        await db.close()
        server.url = f"postgres://hive:both@{place(server.url)}/postgres"
    return servers[0].url, servers[1].url


async def read_only(url: str, on: bool) -> None:
    """Whether the server takes writes: a role's setting holds for its next sessions."""
    db = await asyncpg.connect(url)
    await db.execute("SET default_transaction_read_only = off")
    await db.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
    await db.execute("SELECT pg_reload_conf()")
    await db.close()
    await asyncio.sleep(0.3)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgres://h/d", [("h", 5432)]),
        ("postgres://h:1/d", [("h", 1)]),
        ("postgresql://u:p@A:1,b,c:3/d", [("a", 1), ("b", 5432), ("c", 3)]),
        ("postgres:///d?host=a:1,b&port=7", [("a", 1), ("b", 7)]),
        ("postgres://[::1]:5/d", [("::1", 5)]),
        ("postgres://[::1]:5,[::2]/d", [("::1", 5), ("::2", 5432)]),
        ("postgres:///d?host=/run/postgresql", [("/run/postgresql", 5432)]),
    ],
)
def test_the_servers_of_a_url(text: str, hosts: list[tuple[str, int]]) -> None:
    options = parse_options(parse_url(text))
    assert list(options.hosts) == hosts
    assert options.target_session_attrs == ("any" if len(hosts) == 1 else "read-write")


@pytest.mark.parametrize("hosts", ["a:x", "a:0", "a:1,b:65536", "a,,b", ":5"])
def test_what_is_no_server(hosts: str) -> None:
    with pytest.raises(ConfigError, match="host:port,host:port"):
        parse_options(parse_url(f"postgres:///d?host={hosts}"))


async def test_a_server_that_is_silent_is_passed_over(pair: tuple[str, str], silent: str) -> None:
    gone = "127.0.0.1:9"
    url = f"postgres://hive:both@{gone},{silent},{place(pair[0])}/postgres?connect_timeout=1"
    async with open_store(url) as hive:
        await hive.records.put("c", "k", 1)
    with pytest.raises(Unavailable, match="none of the servers"):
        async with open_store(f"postgres://hive:both@{gone},{silent}/postgres?connect_timeout=1"):
            pass


async def test_the_server_that_takes_writes_is_found_again(pair: tuple[str, str]) -> None:
    """Also while the store is open, and without an error for callers if there is another."""
    both = f"postgres://hive:both@{place(pair[0])},{place(pair[1])}/postgres"
    await read_only(pair[0], True)
    try:
        async with open_store(both) as hive, open_store(pair[1]) as second, open_store(pair[0]) as first:
            await hive.records.put("c", "on the second", 1)
            assert await second.records.get("c", "on the second") is not None
            await read_only(pair[1], True)
            with pytest.raises(NotPrimary):
                await second.records.put("c", "k", 1)
            with pytest.raises(Unavailable):
                await hive.records.put("c", "k", 1)
            await read_only(pair[0], False)
            await hive.records.put("c", "on the first", 1)
            assert await first.records.get("c", "on the first") is not None
    finally:
        for url in pair:
            await read_only(url, False)


async def test_any_server_will_do_for_reading(pair: tuple[str, str]) -> None:
    await read_only(pair[0], True)
    try:
        both = f"postgres://hive:both@{place(pair[0])},{place(pair[1])}/postgres?target_session_attrs=any"
        async with open_store(both) as hive:
            with pytest.raises(NotPrimary):
                await hive.records.put("c", "k", 1)
    finally:
        await read_only(pair[0], False)
