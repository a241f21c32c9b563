"""Connecting: to the first of the URL's servers that is as it should be."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]

from hive_state_core.errors import ConfigError, Unavailable
from hive_state_postgres.errors import connect_error
from hive_state_postgres.options import Options, connect_arguments

PLANNING = {
    # Every statement is a look-up by a leading part of an index. Plans are kept, and one made while a table
    # was empty must not read it from end to end once it has grown.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}

Connection: TypeAlias = Any  # asyncpg.Connection; asyncpg has no types


class Dialer:
    """Connects, each time trying the server first that was found last.

    asyncpg would give all servers together one time-out, which the first one could use up.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._first = 0

    async def connect(self) -> Connection:
        """A connection of its own. Raises what `connect_error` makes of it.

        Only a server that cannot be reached, or is not of the kind that is wanted, is passed over.
        """
        for option, path in self._options.files:
            if not os.access(path, os.R_OK):
                raise ConfigError(f"option {option} of postgres:// names a file that cannot be read: {path}")
        hosts = self._options.hosts
        for tried in range(len(hosts)):
            place = (self._first + tried) % len(hosts)
            try:
                connection = await self._connect(*hosts[place])
            except Unavailable as error:
                if tried + 1 < len(hosts):
                    continue
                if tried:
                    named = self._options.place
                    raise Unavailable(
                        f"none of the servers {named} can be used; {error}"
                    ) from error.__cause__
                raise
            self._first = place
            return connection
        raise Unavailable("the URL names no server")

    async def _connect(self, host: str, port: int) -> Connection:
        options = self._options
        settings = {} if options.pgbouncer else dict(PLANNING)
        settings["application_name"] = options.application_name
        if not options.pgbouncer:
            settings["statement_timeout"] = str(int(options.command_timeout * 1000))
        try:
            return await asyncpg.connect(
                **connect_arguments(options), host=host, port=port, server_settings=settings
            )
        except Exception as error:
            raise connect_error(error, f"{host}:{port}/{options.database}") from error
