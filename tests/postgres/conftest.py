"""A PostgreSQL server for all tests here, and one of its own for those that stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest

from hive_state_core import Store, open_store
from hive_state_core.embedded import postgres_server
from hive_state_core.errors import ConfigError
from hive_state_core.plugins import Backend, backend_for, register_backend
from hive_state_core.url import parse_url

try:
    backend_for(parse_url("postgres://localhost/x"))
except ConfigError:  # the distribution that is installed does not name it
    import hive_state_postgres

    found: list[Backend] = []
    hive_state_postgres.hive_state_register_backends(register=found.append)
    register_backend(found[0])


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Of a running server without a hive-state schema in its database."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that may be killed and started."""
    with postgres_server() as server:
        yield server


def with_option(url: str, **options: object) -> str:
    """The URL with these options too."""
    added = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{added}"


@pytest.fixture
async def url(server_url: str) -> str:
    """Of a store whose schema is there, in a schema that no other test uses."""
    url = with_option(server_url, schema=f"test_{uuid4().hex[:8]}", min_connections=1)
    await open_store(url)._driver.schema("upgrade")
    return url


@pytest.fixture
async def hive(url: str) -> AsyncIterator[Store]:
    async with open_store(url) as hive:
        yield hive
