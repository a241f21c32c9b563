"""A Valkey or Redis for all tests here, and one of its own for those that stop or change it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias
from uuid import uuid4

import pytest

from hive_state_core.embedded import Server, valkey_server
from hive_state_core.url import parse_url
from hive_state_redis.connecting import Link, connect
from hive_state_redis.options import RedisOptions, parse_options

OptionsOf: TypeAlias = Callable[..., RedisOptions]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """A running server, whose settings nobody changes."""
    with valkey_server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that may be killed, started and set."""
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="session")
def options_of() -> OptionsOf:
    """The options of a server's URL, with these too."""

    def options_of(server: Server, **changes: object) -> RedisOptions:
        given = {name: str(value) for name, value in changes.items()}
        return parse_options(parse_url(server.url).replaced(options=given))

    return options_of


@pytest.fixture
def url(shared_server: Server) -> str:
    """Of a store whose keys no other test uses."""
    return f"{shared_server.url}?prefix=test_{uuid4().hex[:8]}"


@pytest.fixture
async def link(shared_server: Server, options_of: OptionsOf) -> AsyncIterator[Link]:
    """To a place of its own on the shared server."""
    options = options_of(shared_server)
    link = await connect(options, options.tag(uuid4().hex))
    yield link
    await link.close()
