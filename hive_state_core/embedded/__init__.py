"""Servers without Docker, for tests, `hive-state demo` and `hive-state bench`.

    async with postgres_server() as server:     # or a plain `with`
        await asyncpg.connect(server.url)

    async with valkey_server() as server:
        redis.asyncio.from_url(server.url)

Not imported by the rest of the core; needs a POSIX system.
"""

from __future__ import annotations

from hive_state_core.embedded.postgres import postgres_server
from hive_state_core.embedded.server import Server
from hive_state_core.embedded.valkey import Certificate, valkey_server

__all__ = ["Certificate", "Server", "postgres_server", "valkey_server"]
