"""Connections: at most so many, the one used last first, and a new one for each that broke.

asyncpg's own pool asks the server to reset a connection at each release, a second round trip for every call;
nothing that this driver does leaves anything to reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakSet

from hive_state_core.errors import Closed, HiveStateError, Unavailable
from hive_state_core.spi import PoolStats
from hive_state_postgres.dialing import Connection, Dialer
from hive_state_postgres.errors import READ_ONLY, call_error, demotion, is_lost
from hive_state_postgres.options import Options

Answer = TypeVar("Answer")


class Pool:
    """See the module. All methods are for one event loop."""

    def __init__(self, options: Options, dialer: Dialer) -> None:
        self._options = options
        self._dialer = dialer
        self._dialing: set[asyncio.Task[Connection]] = set()
        self._idle: list[Connection] = []
        self._ready: WeakSet[Connection] = WeakSet()
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
        await self._add()
        more = [self._add() for _ in range(self._options.min_connections - 1)]
        await asyncio.gather(*more, return_exceptions=True)

    async def close(self) -> None:
        """Connections that are being made have a second to come to their end."""
        self._closed = True
        try:
            if self._dialing:
                _, late = await asyncio.wait(set(self._dialing), timeout=1)
                for dialing in late:
                    dialing.cancel()
                await asyncio.gather(*late, return_exceptions=True)
            while self._idle:
                connection = self._idle.pop()
                try:
                    await connection.close(timeout=2)
                except Exception:
                    connection.terminate()
        finally:
            self._forget_all()

    async def _add(self) -> None:
        self._idle.append(await self.dial())

    async def dial(self) -> Connection:
        """A new connection, for the caller. It is made to the end also if the caller is cancelled, and then
        kept for others: what asyncpg leaves of a half-made one is an error in the log."""
        dialing = asyncio.create_task(self._dialer.connect())
        self._dialing.add(dialing)
        dialing.add_done_callback(self._dialing.discard)
        try:
            return await asyncio.shield(dialing)
        except asyncio.CancelledError:
            dialing.add_done_callback(self._keep)
            raise

    def _keep(self, dialed: asyncio.Task[Connection]) -> None:
        """A connection that nobody waits for any more."""
        if dialed.cancelled() or dialed.exception() is not None:
            return
        if self._closed or self._in_use + len(self._idle) >= self._options.max_connections:
            dialed.result().terminate()
        else:
            self._idle.append(dialed.result())

    async def ready(self, work: Callable[[Connection], Awaitable[object]]) -> None:
        """Do this on each idle connection on which it was not done before, one after the other. Raises as
        `run` does."""

        async def once(connection: Connection) -> None:
            if connection not in self._ready:
                await work(connection)
                self._ready.add(connection)

        for _ in [*self._idle]:
            await self._run(once, writes=False, oldest=True)

    async def run(self, work: Callable[[Connection], Awaitable[Answer]], *, writes: bool) -> Answer:
        """What `work` returns. Reads are tried once more if a connection turns out to be broken."""
        try:
            return await self._run(work, writes=writes)
        except Unavailable as error:
            if writes or error.__cause__ is None or not is_lost(error.__cause__):
                raise
        return await self._run(work, writes=writes)

    async def _run(
        self, work: Callable[[Connection], Awaitable[Answer]], *, writes: bool, oldest: bool = False
    ) -> Answer:
        connection = await self.take(oldest)
        loop = asyncio.get_running_loop()
        # A timer, which is cheaper than `asyncio.timeout`: a call under way fails when its connection ends.
        overdue = loop.call_later(self._options.command_timeout + 5, connection.terminate)
        try:
            return await work(connection)
        except HiveStateError:
            raise
        except asyncio.CancelledError:
            connection.terminate()  # a call may be under way
            raise
        except Exception as error:
            failure = TimeoutError() if overdue.when() <= loop.time() else error
            raise self._failed(connection, failure, writes) from error
        finally:
            overdue.cancel()
            self.give_back(connection)

    def _failed(self, connection: Connection, error: Exception, writes: bool) -> HiveStateError:
        """What to raise; a connection that broke is dropped, and all that are idle with it."""
        demoted = self._options.fails_over and getattr(error, "sqlstate", None) == READ_ONLY
        if demoted or connection.is_closed() or is_lost(error):
            connection.terminate()
            self._forget_all()
        place = self._options.place
        return demotion(place) if demoted else call_error(error, place, writes=writes)

    async def take(self, oldest: bool = False) -> Connection:
        """A connection that is nobody else's until it is given back: used last of all, or longest ago with
        `oldest`."""
        if self._closed:
            raise Closed("the store is not open")
        await self._place()
        self._in_use += 1
        try:
            return self._idle_one(oldest) or await self.dial()
        except BaseException:
            self._leave_place()
            raise

    def give_back(self, connection: Connection) -> None:
        """To be used by others, unless it broke meanwhile."""
        if not connection.is_closed():
            if self._closed:
                connection.terminate()
            else:
                self._idle.append(connection)
        self._leave_place()

    def _leave_place(self) -> None:
        self._in_use -= 1
        self._places.release()

    async def _place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
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

    def _idle_one(self, oldest: bool) -> Connection | None:
        while self._idle:
            connection = self._idle.pop(0 if oldest else -1)
            if not connection.is_closed():
                return connection
        return None

    def _forget_all(self) -> None:
        """One connection broke. If the server was stopped all did, and not all of them know it yet."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()
