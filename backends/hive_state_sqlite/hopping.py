"""A connection on a thread of its own. Work hops there, a whole transaction at a time, and its answer back.

Most of what a lone caller waits for, the disk apart, is threads being woken. So nothing else stands in the
way: the answer wakes the task that awaits it in the turn of the event loop in which it arrives, where that of
a Future would do so one turn later; and the thread is given the work when the task has gone to sleep, so that
the two do not wait for each other's interpreter lock. See docs/adr/0014-a-lone-caller-on-sqlite.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextvars import Context
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, TypeVarTuple
from urllib.parse import quote

Answer = TypeVar("Answer")
What = TypeVarTuple("What")
Wake = Callable[[Any], object]
Hops = SimpleQueue["Hop[Any] | sqlite3.Connection | None"]


class Hop(Generic[Answer]):
    """Work on its way: await it once. Cancelling its caller leaves it undisturbed, but unheard.

    It follows asyncio's protocol of future-like objects. All but `run` belongs to the event loop's thread.
    """

    __slots__ = (
        "_answer",
        "_arrived",
        "_asyncio_future_blocking",
        "_cancelled",
        "_context",
        "_error",
        "_hops",
        "_loop",
        "_then",
        "_wake",
        "_what",
        "_work",
    )

    def __init__(
        self,
        hops: Hops,
        work: Callable[..., Answer],
        what: tuple[object, ...] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        self._asyncio_future_blocking = True
        self._loop = asyncio.get_running_loop()
        self._work, self._what, self._then = work, what, then
        self._hops: Hops | None = hops  # until it has left
        self._wake: Wake | None = None
        self._error: BaseException | None = None
        self._arrived = self._cancelled = False

    def __await__(self) -> Generator[Any, None, Answer]:
        yield self
        if self._error is None:
            return self._answer
        try:
            raise self._error
        finally:
            del self  # else the error would keep itself alive, by way of this frame

    def run(self) -> None:
        """On the thread."""
        try:
            self._answer = self._work(*self._what)
        except BaseException as error:
            self._error = error
        try:
            self._loop.call_soon_threadsafe(self._arrive)
        except RuntimeError:  # the event loop was closed: nobody waits any more
            if not self._loop.is_closed():
                raise
        finally:
            if self._then is not None:
                self._then()

    def _arrive(self) -> None:
        self._arrived = True
        wake, self._wake = self._wake, None
        if wake is not None:
            self._context.run(wake, self)

    # -- what a Task, and `outliving`, ask of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake: Wake, *, context: Context) -> None:
        self._wake, self._context = wake, context
        if self._arrived:
            self._wake_soon()
        elif self._hops is not None:
            self._hops.put(self)
            self._hops = None

    def remove_done_callback(self, _: Wake) -> None:
        self._wake = None

    def cancel(self, msg: object = None) -> bool:
        if self._wake is None:
            return False
        self._cancelled = True
        self._wake_soon()
        return True

    def _wake_soon(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            self._loop.call_soon(wake, self, context=self._context)

    def done(self) -> bool:
        return self._arrived or self._cancelled

    def cancelled(self) -> bool:
        return self._cancelled

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError


class HopConnection:
    """`sqlite3.Connection` in autocommit mode, on a thread of its own: see `connect`."""

    def __init__(self, db: sqlite3.Connection, hops: Hops) -> None:
        self._db: sqlite3.Connection | None = db
        self._hops = hops

    def hop(self, work: Callable[[sqlite3.Connection, *What], Answer], *what: *What) -> Hop[Answer]:
        """Run `work(connection, *what)` on the connection's thread."""
        db = self._db
        if db is None:
            raise ValueError("the connection is not open")
        return Hop(self._hops, work, (db, *what))

    def hop_then(
        self,
        then: Callable[[], None],
        work: Callable[[sqlite3.Connection, *What], Answer],
        *what: *What,
    ) -> Hop[Answer]:
        """`hop`, and `then()` on the thread once the answer, or the error, has left. It must not raise."""
        db = self._db
        if db is None:
            raise ValueError("the connection is not open")
        return Hop(self._hops, work, (db, *what), then)

    async def close(self) -> None:
        """After all that was begun before."""
        db, self._db = self._db, None
        if db is not None:
            try:
                await Hop(self._hops, db.close)
            finally:
                self._hops.put(None)

    def __del__(self) -> None:
        """Let the thread of a store that nobody closed end; the store itself warns of that."""
        self._hops.put(self._db)


async def connect(path: str) -> HopConnection:
    """A new connection, its pragmas still to be set. `path` is absolute, the file exists."""
    hops: Hops = SimpleQueue()
    # A store that nobody closed must not keep the interpreter from ending; SQLite survives that.
    threading.Thread(target=_serve, args=(hops,), name="hive-state-sqlite", daemon=True).start()
    uri = f"file:{quote(path)}?mode=rw"
    try:
        db = await Hop(hops, partial(sqlite3.connect, uri, uri=True, isolation_level=None))
    except BaseException:
        hops.put(None)
        raise
    return HopConnection(db, hops)


def _serve(hops: Hops) -> None:
    """The thread, until it is given something else: the connection to close, if that was not done before."""
    while isinstance(last := hops.get(), Hop):
        last.run()
        del last  # it may be the last to hold the connection
    if last is not None:
        last.close()
