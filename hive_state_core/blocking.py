"""What stands for the asynchronous objects in a thread; see `hive_state_core.sync`."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from types import TracebackType
from typing import Any, Self

import hive_state_core.store
from hive_state_core import (
    agents,
    checkpoints,
    event_ops,
    events,
    held,
    locks,
    record_ops,
    records,
    sessions,
    task_ops,
    tasks,
    unit,
)
from hive_state_core.codec import Json
from hive_state_core.leases import Lease
from hive_state_core.portal import CANCEL_SECONDS, Call, Holder, Portal

STOP_POLL = 0.1
"""Seconds between two looks at the `stop` of `tasks.work`."""

_WITH_VERBS = (
    *(unit.Unit, held.KeptAlive),
    *(records.Records, agents.Agents, tasks.Tasks, sessions.Sessions),
    *(locks.Locks, events.Events, checkpoints.Checkpoints),
    *(record_ops.RecordOps, agents.AgentOps, task_ops.TaskOps, sessions.SessionOps),
    *(locks.LockOps, event_ops.EventOps, checkpoints.CheckpointOps),
)


class StandIn:
    """Blocks where `target` is awaited; its attributes are those of `target`. A context manager if that is
    one."""

    def __init__(self, portal: Portal, target: Any) -> None:
        self.__dict__.update(_portal=portal, _target=target, _holder=None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python asks for what it can do; that is said here, by class
            raise AttributeError(name)
        found = getattr(self._target, name)
        return _blocking(self._portal, found) if callable(found) else _shown(self._portal, found)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._target, name, value)

    def __repr__(self) -> str:
        return f"sync {self._target!r}"

    def __enter__(self) -> Any:
        holder = Holder(self._portal, self._target)
        entered = holder.enter()
        self.__dict__["_holder"] = holder
        return self if entered is self._target else _shown(self._portal, entered)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.leave(error)


class Iteration:
    """An iterator over an asynchronous generator."""

    def __init__(self, portal: Portal, generator: AsyncGenerator[Any, None]) -> None:
        self._portal = portal
        self._generator = generator

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            found = self._portal.call(anext(self._generator))
        except StopAsyncIteration:
            raise StopIteration from None
        return _shown(self._portal, found)

    def close(self) -> None:
        """End it. What it gave last and nobody ended is given back, as its generator says."""
        self._portal.call(self._generator.aclose())

    def __del__(self) -> None:
        self._portal.post(self._generator.aclose())


class Tasks(StandIn):
    """`hive.tasks`."""

    def work(
        self,
        queue: str,
        handler: Callable[[Any], Json | None],
        *,
        concurrency: int = 10,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> None:
        """As the asynchronous one; `handler(lease)` is an ordinary function, called in threads."""
        portal: Portal = self._portal
        with _Threads(portal, handler, concurrency) as threads:
            work = threads.until(stop, self._target.work, queue, concurrency=concurrency, **options)
            call = portal.begin(work)
            try:
                call.wait()
            except BaseException:
                threads.wind_down(call)
                raise
            call.result()


class _Threads:
    """Where handlers run."""

    def __init__(self, portal: Portal, handler: Callable[[Any], Json | None], most: int) -> None:
        self._portal = portal
        self._handler = handler
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="hive-state handler")
        self._stop = asyncio.Event()

    def wind_down(self, work: Call[None]) -> None:
        """Let the handlers that run come to their end; if even that is interrupted, give up their tasks."""
        try:
            self._portal.call(self._finish())
            work.wait()
        except BaseException:
            work.cancel()
            work.wait(CANCEL_SECONDS)
            raise

    async def _finish(self) -> None:
        self._stop.set()

    async def until(self, stop: threading.Event | None, work: Any, queue: str, **options: Any) -> None:
        watching = asyncio.create_task(self._watch(stop))
        try:
            await work(queue, self._handle, stop=self._stop, **options)
        finally:
            watching.cancel()

    async def _watch(self, stop: threading.Event | None) -> None:
        if stop is not None:
            while not stop.is_set():  # noqa: ASYNC110 - an Event of threads cannot be awaited
                await asyncio.sleep(STOP_POLL)
            self._stop.set()

    async def _handle(self, lease: Lease) -> Json | None:
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, self._handler, _shown(self._portal, lease))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})  # nothing ends a thread from outside
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Store(StandIn):
    """See `hive_state_core.store.Store`. Use it as `with open_store(...) as hive:`."""

    def __init__(self, target: hive_state_core.store.Store) -> None:
        super().__init__(Portal(), target)
        self.__dict__["tasks"] = Tasks(self._portal, target.tasks)

    def upgrade_schema(self) -> Any:
        """As the asynchronous one: before `open`."""
        self._start()
        return self._portal.call(self._target.upgrade_schema())

    def open(self) -> None:
        self._start()
        try:
            self._portal.call(self._target.open())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """May be called twice. Done at the end of the program if it was not before."""
        if self._portal.running:
            atexit.unregister(self.close)
            try:
                self._portal.call(self._target.close())
            finally:
                self._portal.stop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if not self._portal.running:
            self._portal.start()
            atexit.register(self.close)


def open_store(store: Any = None, **options: Any) -> Store:
    """As `hive_state_core.open_store`: a Store, to be opened by `with`."""
    return Store(hive_state_core.store.open_store(store, **options))


def _shown(portal: Portal, value: Any) -> Any:
    """What stands for it: itself, unless it has something to be awaited."""
    if isinstance(value, _WITH_VERBS) or hasattr(value, "__aenter__"):
        return StandIn(portal, value)
    if hasattr(value, "__anext__"):
        return Iteration(portal, value)
    return [_shown(portal, each) for each in value] if type(value) is list else value


def _meant(value: Any) -> Any:
    """The other way round, for arguments."""
    return value._target if isinstance(value, StandIn) else value


def _blocking(portal: Portal, verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def call(*given: Any, **options: Any) -> Any:
        named = {name: _meant(value) for name, value in options.items()}
        found = verb(*map(_meant, given), **named)
        return _shown(portal, portal.call(found) if asyncio.iscoroutine(found) else found)

    return call
