"""Presets: stores that a command knows by a short name, with the servers that they need.

Each is an async context manager that gives the URL of a store that is ready to be opened, and takes back
what it made when it ends. This is one of the few places in the core that name a backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from tempfile import TemporaryDirectory
from urllib.parse import quote

Preset = Callable[[], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def temporary_sqlite() -> AsyncIterator[str]:
    """A new SQLite file that is removed afterwards."""
    with TemporaryDirectory(prefix="hive-state-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite:///{quote(folder)}/hive.db"


@asynccontextmanager
async def temporary_postgres() -> AsyncIterator[str]:
    """A PostgreSQL of our own (`hive_state_core.embedded` says where from), with the schema in it."""
    from hive_state_core.embedded import postgres_server
    from hive_state_core.store import open_store

    async with postgres_server() as server:
        await open_store(server.url).upgrade_schema()
        yield server.url


EMBEDDED: dict[str, Preset] = {"sqlite": temporary_sqlite, "postgres": temporary_postgres}
"""What `--embedded` starts."""

STANDING: dict[str, str] = {"sqlite": "sqlite:///hive-state.db"}
"""Those that are there without a server of ours."""
