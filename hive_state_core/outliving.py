"""Awaiting work that must not end with its caller, at the price of a plain await.

`asyncio.shield` needs a task of its own and two more turns of the event loop for every call. Here the caller
itself does the work, and only if it is cancelled a task takes over what is left of it.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_enter_task: Callable[[asyncio.AbstractEventLoop, Any], None] = tasks._enter_task
_leave_task: Callable[[asyncio.AbstractEventLoop, Any], None] = tasks._leave_task
# They are for whatever stands in for a Task, as asyncio's manual says (Extending).

Waited = asyncio.Future[Any] | None
"""What a coroutine waits for when it gives way; None: just for its next turn."""


class Outliving(Generic[Result]):
    """Await it once. Cancelling the caller leaves `work` undisturbed: it goes on in a task, which `orphaned`
    is given."""

    def __init__(
        self,
        work: Coroutine[Waited, None, Result],
        orphaned: Callable[[asyncio.Task[Result]], None],
    ) -> None:
        self._work = work
        self._orphaned = orphaned

    def __await__(self) -> Generator[Any, None, Result]:
        work, doer, error = self._work, _Doer(), None
        try:
            while True:
                waited = doer.step(work, error)
                screen = None if waited is None else _Screen(waited)
                error = None
                try:
                    yield screen
                except BaseException as raised:
                    if isinstance(raised, asyncio.CancelledError) and (screen is None or screen.was_meant()):
                        doer.does = rest = asyncio.create_task(_rest(work, waited))
                        self._orphaned(rest)
                        raise
                    error = raised
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class _Doer:
    """What the work takes for its Task while the caller's does it, so that a timeout of the work cancels the
    work and not the caller. `does`: the Task that does it, or else what it waits for."""

    __slots__ = ("__weakref__", "_caller", "_loop", "_must_end", "_requests", "does")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._caller: Any = asyncio.current_task()
        self._requests = 0
        self._must_end = False
        self.does: asyncio.Future[Any] | None = None

    def step(self, work: Coroutine[Waited, None, Any], error: BaseException | None) -> Waited:
        """Go on with the work, and return what it waits for next."""
        if self._must_end:
            self._must_end, error = False, asyncio.CancelledError()
        loop, caller, self.does = self._loop, self._caller, None
        _leave_task(loop, caller)
        _enter_task(loop, self)
        try:
            waited = self.does = work.send(None) if error is None else work.throw(error)
        finally:
            _leave_task(loop, self)
            _enter_task(loop, caller)
        return waited

    def cancel(self, msg: object = None) -> bool:
        self._requests += 1
        self._must_end = self.does is None or not self.does.cancel()
        return True

    def cancelling(self) -> int:
        return self._requests

    def uncancel(self) -> int:
        self._requests -= 1
        return self._requests


async def _rest(work: Coroutine[Waited, None, Result], waited: Waited) -> Result:
    return await _resumed(work, waited)


@coroutine
def _resumed(work: Coroutine[Waited, None, Result], waited: Waited) -> Generator[Any, None, Result]:
    """Go on with a coroutine that waits for something already."""
    try:
        while True:
            try:
                yield waited
            except BaseException as error:
                waited = work.throw(error)
            else:
                waited = work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class _Screen:
    """What a Task sees of the future it waits for (asyncio's protocol of future-like objects): cancelling
    stops here."""

    __slots__ = ("_asyncio_future_blocking", "_context", "_fallen", "_future", "_wake")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._asyncio_future_blocking = True
        self._future = future
        self._fallen = False

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._future.get_loop()

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        self._wake = wake
        self._context = context
        self._future.add_done_callback(wake, context=context)

    def cancel(self, msg: object = None) -> bool:
        """Wake the Task with CancelledError, unless it is about to be woken: then it sees to that itself."""
        if self._future.done() or self._fallen:
            return False
        self._fallen = True
        self._future.remove_done_callback(self._wake)
        self.get_loop().call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        raise asyncio.CancelledError

    def was_meant(self) -> bool:
        """Whether a CancelledError that was thrown comes from the Task, not from the future."""
        return self._fallen or (self._future.done() and not self._future.cancelled())
