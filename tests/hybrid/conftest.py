"""PostgreSQL and Valkey of our own, and hybrids over them, or over a file and the memory of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hive_state_conformance import prompt_loop
from hive_state_core import open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.embedded import postgres_server, valkey_server
from hive_state_hybrid import ahead, breaker, driver, fencing, front, near, seen
from hive_state_memory.caching import Held
from hive_state_memory.driver import Memory
from tests.virtual_time import is_prompt, loop_factories, read_the_loop

Hybrid = Callable[..., Choice]
"""Of a durable and a fast store by URL, and options of the hybrid."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return loop_factories(item)


@pytest.fixture(autouse=True)
def clock_of_the_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_prompt(request.node):
        for clocked in (Memory, Held):
            monkeypatch.setattr(clocked, "clock", staticmethod(prompt_loop.instant))
        read_the_loop(monkeypatch, ahead, breaker, driver, fencing, front, near, seen)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with valkey_server(fsync="never written") as server:
        yield server.url


@pytest.fixture
def valkey() -> Iterator[Any]:
    """A server that may be killed and started."""
    with valkey_server(fsync="never written") as server:
        yield server


@pytest.fixture
async def durable_url(postgres_url: str) -> str:
    """Of a PostgreSQL store whose schema is there, in a schema that no other test uses."""
    url = (
        f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema=test_{uuid4().hex[:8]}&min_connections=1"
    )
    await open_store(url)._driver.schema("upgrade")
    return url


@pytest.fixture
def hybrid(tmp_path: Path) -> Hybrid:
    def make(durable: str, fast: str, **options: object) -> Choice:
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
        file = tmp_path / f"{uuid4().hex}.toml"
        file.write_text(
            f'use = "prod"\n[stores.durable]\nurl = "{durable}"\n[stores.fast]\nurl = "{fast}"\n'
            '[stores.prod]\nbackend = "hybrid"\ndurable = "durable"\nfast = "fast"\n'
            + "\n".join(lines)
            + "\n"
        )
        return choose("prod", file)

    return make
