"""Connections: at most so many, the one used last first, and a new one for each that broke.

asyncpg's own pool asks the server to reset a connection at each release, a second round trip for every call;
nothing that this driver does leaves anything to reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg  # type: ignore[import-untyped]

from hive_state_core.errors import Closed, HiveStateError, Unavailable
from hive_state_core.spi import PoolStats
from hive_state_postgres.errors import call_error, connect_error, is_lost
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


async def connect(options: Options) -> Connection:
    """A connection of its own. Raises what `connect_error` makes of it."""
    settings = {} if options.pgbouncer else dict(PLANNING)
    settings["application_name"] = options.application_name
    if not options.pgbouncer:
        settings["statement_timeout"] = str(int(options.command_timeout * 1000))
    try:
        return await asyncpg.connect(**connect_arguments(options), server_settings=settings)
    except Exception as error:
        raise connect_error(error, options.place) from error


Answer = TypeVar("Answer")


class Pool:
    """See the module. All methods are for one event loop."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(options.max_connections)
        self._in_use = 0
        self._waiting = 0
        self._closed = True

    def stats(self) -> PoolStats:
        return PoolStats(
            in_use=self._in_use,
            idle=len(self._idle),
            most=self._options.max_connections,
            waiting=self._waiting,
        )

    async def open(self) -> None:
        """Connect once, so that errors show, and then to the least number."""
        self._closed = False
        first = await connect(self._options)
        self._idle.append(first)
        more = [connect(self._options) for _ in range(self._options.min_connections - 1)]
        for found in await asyncio.gather(*more, return_exceptions=True):
            if not isinstance(found, BaseException):
                self._idle.append(found)

    async def close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                await connection.close(timeout=2)
            except Exception:
                connection.terminate()

    async def run(self, work: Callable[[Connection], Awaitable[Answer]], *, writes: bool) -> Answer:
        """What `work` returns. Reads are tried once more if a connection turns out to be broken."""
        try:
            return await self._run(work, writes=writes)
        except Unavailable as error:
            if writes or error.__cause__ is None or not is_lost(error.__cause__):
                raise
        return await self._run(work, writes=writes)

    async def _run(self, work: Callable[[Connection], Awaitable[Answer]], *, writes: bool) -> Answer:
        async with self.connection() as connection:
            try:
                async with asyncio.timeout(self._options.command_timeout + 5):
                    return await work(connection)
            except HiveStateError:
                raise
            except Exception as error:
                translated = call_error(error, self._options.place, writes=writes)
                if connection.is_closed() or is_lost(error):
                    connection.terminate()
                    self._forget_all()
                raise translated from error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One that is nobody else's meanwhile; dropped if the body is cancelled: a call may be under way."""
        if self._closed:
            raise Closed("the store is not open")
        await self._place()
        self._in_use += 1
        try:
            connection = self._take() or await connect(self._options)
            try:
                yield connection
            except asyncio.CancelledError:
                connection.terminate()
                raise
            finally:
                if not connection.is_closed():
                    if self._closed:
                        connection.terminate()
                    else:
                        self._idle.append(connection)
        finally:
            self._in_use -= 1
            self._places.release()

    async def _place(self) -> None:
        timeout = self._options.command_timeout
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self._places.acquire()
        except TimeoutError as error:
            most = self._options.max_connections
            raise Unavailable(f"all {most} connections were busy for {timeout:g} s") from error
        finally:
            self._waiting -= 1

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _forget_all(self) -> None:
        """One connection broke. If the server was stopped all did, and not all of them know it yet."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()
