"""A thread with an event loop, into which other threads call and wait."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar, cast

from hive_state_core.errors import Closed, InvalidArgument

T = TypeVar("T")

CANCEL_SECONDS = 5.0
"""How long an interrupted call waits for its cancellation to take effect."""


class Portal:
    """For one Store. `start` it once; then any thread may use it, and `stop` it once."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    @property
    def running(self) -> bool:
        """Whether it can be used: it was started, in this process, and not stopped."""
        return self._loop is not None and self._pid == os.getpid()

    def start(self) -> None:
        self._pid = os.getpid()
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="hive-state", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cancel what is left and end the thread. In a forked child there is nothing to end."""
        if self._loop is None or self._thread is None or not self.running:
            return
        self.call(_cancel_all())
        loop, self._loop = self._loop, None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def call(self, awaitable: Awaitable[T]) -> T:
        """Its result. If the waiting is interrupted (Ctrl-C), it is cancelled; the interruption goes on."""
        call = self.begin(awaitable)
        try:
            call.wait()
        except BaseException:
            call.cancel()
            call.wait(CANCEL_SECONDS)
            raise
        return call.result()

    def begin(self, awaitable: Awaitable[T]) -> Call[T]:
        """Raises Closed, or InvalidArgument on the thread of the loop itself."""
        try:
            return Call(self._usable(), awaitable)
        except BaseException:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            raise

    def post(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Begin it and do not wait; without a loop it is dropped."""
        if self._loop is not None and self.running:
            Call(self._loop, coroutine)
        else:
            coroutine.close()

    def _usable(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise Closed("the store is not open")
        if not self.running:
            raise Closed(f"the store was opened by process {self._pid}, before a fork; open another one here")
        if threading.current_thread() is self._thread:
            raise InvalidArgument("a blocking call on the thread of its own store would wait for ever")
        return self._loop


class Call(Generic[T]):
    """Something under way on the loop, as seen from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[T]) -> None:
        self._loop = loop
        self._awaitable = awaitable
        self._task: asyncio.Task[T] | None = None
        self._done = threading.Event()
        loop.call_soon_threadsafe(self._begin)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is done by then. A signal interrupts it on the main thread."""
        return self._done.wait(timeout)

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def result(self) -> T:
        """Once it is done. Raises what it raised; Closed if it was cancelled."""
        task = cast("asyncio.Task[T]", self._task)
        if task.cancelled():
            raise Closed("the call was ended, as its store was closed")
        return task.result()

    def _begin(self) -> None:
        self._task = self._loop.create_task(_as_coroutine(self._awaitable))
        self._task.add_done_callback(lambda _: self._done.set())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Holder:
    """Keeps an asynchronous context manager open for a block of another thread, in one task of the loop."""

    def __init__(self, portal: Portal, manager: AbstractAsyncContextManager[Any]) -> None:
        self._portal = portal
        self._manager = manager
        self._entered = threading.Event()
        self._value: Any = None
        self._inside = False
        self._leaving: asyncio.Event = asyncio.Event()
        self._error: Exception | None = None
        self._call: Call[None] | None = None

    def enter(self) -> Any:
        """What `async with ... as` gives."""
        self._call = call = self._portal.begin(self._hold())
        try:
            self._entered.wait()
        except BaseException:
            call.cancel()
            call.wait(CANCEL_SECONDS)
            raise
        if not self._inside:
            call.wait()
            call.result()
        return self._value

    def leave(self, error: BaseException | None) -> None:
        """End it as the block ended. Raises what that raises, but not `error` itself, which goes on."""
        call = cast("Call[None]", self._call)
        if error is not None and not isinstance(error, Exception):
            call.cancel()  # an interruption is to a thread what a cancellation is to a task
            call.wait(CANCEL_SECONDS)
            return
        self._error = error
        self._portal.call(self._tell())
        call.wait()
        try:
            call.result()
        except BaseException as raised:
            if raised is not error:
                raise

    async def _tell(self) -> None:
        self._leaving.set()

    async def _hold(self) -> None:
        try:
            async with self._manager as self._value:
                self._inside = True
                self._entered.set()
                await self._leaving.wait()
                if self._error is not None:
                    raise self._error
        finally:
            self._entered.set()


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _cancel_all() -> None:
    """Generators that nobody closed, tasks that nobody waits for."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
