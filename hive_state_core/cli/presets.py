"""Presets: stores that a command knows by a short name, with the servers that they need.

This is one of the few places in the core that name a backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import quote

from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config


class Preset(NamedTuple):
    """start  a context: gives a store that is ready to be opened, and takes back what it made when it ends
    words  what that is, for people
    url    of the store without a server of ours, None if there is none
    """

    start: Callable[[Config], AbstractAsyncContextManager[Choice]]
    words: str
    url: str | None = None


@asynccontextmanager
async def _sqlite(config: Config) -> AsyncIterator[Choice]:
    with TemporaryDirectory(prefix="hive-state-", ignore_cleanup_errors=True) as folder:
        yield _named("sqlite", {"sqlite": {"url": f"sqlite:///{quote(folder)}/hive.db"}}, config)


@asynccontextmanager
async def _postgres(config: Config) -> AsyncIterator[Choice]:
    from hive_state_core.embedded import postgres_server
    from hive_state_core.store import open_store

    async with postgres_server() as server:
        choice = _named("postgres", {"postgres": {"url": server.url}}, config)
        await open_store(choice).upgrade_schema()
        yield choice


@asynccontextmanager
async def _redis(config: Config) -> AsyncIterator[Choice]:
    from hive_state_core.embedded import valkey_server

    async with valkey_server() as server:  # with appendfsync always: as durable as the preset of PostgreSQL
        yield _named("redis", {"redis": {"url": server.url}}, config)


@asynccontextmanager
async def _hybrid(config: Config) -> AsyncIterator[Choice]:
    from hive_state_core.embedded import postgres_server, valkey_server
    from hive_state_core.store import open_store

    async with postgres_server() as durable, valkey_server(fsync="never written") as fast:
        await open_store(durable.socket_url, config=config).upgrade_schema()
        stores = {
            "durable": {"url": durable.socket_url},  # many small calls: by TCP they would take longer
            "fast": {"url": fast.socket_url},
            "hybrid": {"backend": "hybrid", "durable": "durable", "fast": "fast"},
        }
        yield _named("hybrid", stores, config)


def _named(name: str, stores: Mapping[str, Mapping[str, object]], config: Config) -> Choice:
    """One of these stores, with what the configuration says of all stores."""
    kept = {"namespace": config.namespace, "retention": config.kept}
    said = {key: value for key, value in kept.items() if value}
    return choose(name, Config({"stores": stores, **said}))


PRESETS: dict[str, Preset] = {
    "sqlite": Preset(_sqlite, "a new file that is removed afterwards", "sqlite:///hive-state.db"),
    "postgres": Preset(_postgres, "a server that ends with this command"),
    "redis": Preset(_redis, "a server that ends with this command, and syncs each write to disk"),
    "hybrid": Preset(_hybrid, "a PostgreSQL and a Valkey that end with this command"),
}

BEFORE, AFTER = "sqlite", "hybrid"
"""The preset that a hive begins with, and the one that it moves to when it has outgrown it."""
