"""Servers without Docker, for tests, `hive-state demo` and `hive-state bench`.

    async with postgres_server() as server:     # or a plain `with`
        await asyncpg.connect(server.url)

Not imported by the rest of the core; needs a POSIX system.
"""

from __future__ import annotations

from hive_state_core.embedded.postgres import Server, postgres_server

__all__ = ["Server", "postgres_server"]
