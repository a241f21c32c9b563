"""A task as it was read, and the lease: the right to finish it, for as long as the lease is kept alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from msgspec import UNSET, UnsetType

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import HiveStateError, InvalidArgument, LeaseLost
from hive_state_core.ids import error_text
from hive_state_core.model import LIVE, TaskImage, TaskState
from hive_state_core.spi import Batch, Committed, Complete, Extend, Extended, Fail, Release
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration

if TYPE_CHECKING:
    from hive_state_core.backoff import Backoff

T = TypeVar("T")
Ending = Complete | Fail | Release

CLEANUP_SECONDS = 5.0
"""How long a block that failed or was cancelled waits for the store to take that."""

_background: set[asyncio.Task[Any]] = set()
"""Cleanups under way: the event loop itself holds its tasks weakly only."""

log: logging.Logger = logging.getLogger("hive_state")


def keep(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """Hold the task until it is done."""
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


class Shown(Generic[T]):
    """A read-only attribute of a Task, made from its image when it is asked for."""

    def __init__(self, get: Callable[[TaskImage], T]) -> None:
        self._get = get

    def __get__(self, task: Task, owner: type[Task] | None = None) -> T:
        return self._get(task._image)


class Task:
    """A task as it was read; instants are aware datetimes.

    attempt      how often it was claimed, less the claims that were released
    worker       who holds the lease until `lease_until`; both None if nobody does
    error        text of the last failure
    done         whether it is completed, cancelled or dead; a dead or cancelled one may be redriven
    unmet        how many of `depends_on` are not completed yet
    finished_at  when it was completed, cancelled or given up; None while it is live
    """

    __slots__ = ("_image", "_payload", "_result")

    id: Shown[str] = Shown(lambda image: image.ref.id)
    queue: Shown[str] = Shown(lambda image: image.queue)
    state: Shown[TaskState] = Shown(lambda image: image.state)
    version: Shown[int] = Shown(lambda image: image.version)
    priority: Shown[int] = Shown(lambda image: image.priority)
    attempt: Shown[int] = Shown(lambda image: image.attempt)
    max_attempts: Shown[int] = Shown(lambda image: image.max_attempts)
    worker: Shown[str | None] = Shown(lambda image: image.worker)
    error: Shown[str | None] = Shown(lambda image: image.error)
    cancel_requested: Shown[bool] = Shown(lambda image: image.cancel_requested)
    dedupe_key: Shown[str | None] = Shown(lambda image: image.dedupe_key)
    requires: Shown[tuple[str, ...]] = Shown(lambda image: image.requires)
    depends_on: Shown[tuple[str, ...]] = Shown(lambda image: image.parents)
    unmet: Shown[int] = Shown(lambda image: image.unmet)
    due_at: Shown[datetime] = Shown(lambda image: validate.instant(image.due_at))
    created_at: Shown[datetime] = Shown(lambda image: validate.instant(image.created_at))
    finished_at: Shown[datetime | None] = Shown(lambda image: validate.optional_instant(image.finished_at))
    done: Shown[bool] = Shown(lambda image: image.state not in LIVE)
    lease_until: Shown[datetime | None] = Shown(lambda image: validate.optional_instant(image.lease_until))

    def __init__(self, image: TaskImage) -> None:
        self._image = image
        self._payload: tuple[Json] | None = None
        self._result: tuple[Json] | None = None

    @property
    def payload(self) -> Json:
        """The caller's own. Raises CorruptData if the stored bytes cannot be decoded."""
        if self._payload is None:
            image = self._image
            self._payload = (codec.decode(image.payload, image.raw, f"task {image.ref.id!r}"),)
        return self._payload[0]

    @property
    def result(self) -> Json:
        """What it was completed with; None before, and if that was nothing. Otherwise as `payload`."""
        if self._result is None:
            image, data = self._image, self._image.result
            what = f"the result of task {image.ref.id!r}"
            self._result = (None if data is None else codec.decode(data, image.result_raw, what),)
        return self._result[0]

    def __repr__(self) -> str:
        return f"Task({self.id!r}, queue={self.queue!r}, state={self.state.value!r})"


class Lease:
    """The right to finish a claimed task, told from every other claim by its `token`.

    `async with lease:` extends it again and again while the block runs, and at the end of the block
    completes the task, with `lease.result` if that was set, unless the block did so itself (or failed or
    released it, also by an atomic unit). It is used once. Otherwise the block ends like this:

    - on an exception the task fails, to be tried again after the back-off until its attempts are used
      up; the exception goes on;
    - on cancellation from outside the lease is released, and the cancellation goes on;
    - if the lease is lost meanwhile (it ran out and was taken away), or nobody can say any more that it
      is not, the block is cancelled and `LeaseLost` is raised.

    Completing waits for a store that is busy until the lease would end, then its error is raised.
    """

    def __init__(self, trips: Trips, image: TaskImage, seconds: float, ends: float, backoff: Backoff) -> None:
        """For facets. `ends`: when `seconds` are over on the event loop's clock, rather early than late."""
        self.task: Task = Task(image)
        self.id: str = image.ref.id
        self.attempt: int = image.attempt
        self.token: int = image.token
        self.until_ms: int = image.lease_until or 0
        self.cancel_requested: bool = image.cancel_requested  # as of the claim or the last extension
        self.ended: bool = False  # completed, failed or released through this object
        self.lost: bool = False
        self._trips = trips
        self._seconds = seconds
        self._ends = ends
        self._backoff = backoff
        self._result: tuple[bytes | None, bool] = (None, False)
        self._user: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._loss: LeaseLost | None = None

    @property
    def payload(self) -> Json:
        return self.task.payload

    @property
    def lease_until(self) -> datetime:
        """As of the claim or the last extension, by the store's clock."""
        return validate.instant(self.until_ms)

    @property
    def result(self) -> Json:
        """What the end of the block will complete the task with. It is encoded when it is set, which
        raises InvalidArgument for a value that cannot be stored."""
        data, raw = self._result
        return None if data is None else codec.decode(data, raw, "the lease's result")

    @result.setter
    def result(self, value: Json) -> None:
        self._result = (None, False) if value is None else codec.encode(value)

    def completion(self, result: Json = None) -> tuple[Complete, int]:
        """(operation, bytes), for facets; so are the next four. None: `lease.result`."""
        if result is not None:
            self.result = result
        data, raw = self._result
        return Complete(self.task._image.ref, self.token, data, raw), len(data or b"")

    def failure(
        self, error: object, retry_in: Duration | UnsetType | None = UNSET, *, jitter: bool = True
    ) -> Fail:
        """`retry_in` UNSET: what the back-off says."""
        if retry_in is UNSET:
            retry_in = (self._backoff.delay if jitter else self._backoff.longest)(self.attempt)
        wait = None if retry_in is None else validate.duration(retry_in, "retry_in", zero=True)
        return Fail(self.task._image.ref, self.token, error_text(error), wait)

    def giving_back(self, delay: Duration = 0) -> Release:
        return Release(self.task._image.ref, self.token, validate.duration(delay, "delay", zero=True))

    def settle(self, result: object, _: Committed) -> Any:
        """One of these was committed."""
        self.ended = True
        return result

    async def finish(self, op: Ending, size: int = 0, timeout: float | None = None) -> Any:
        """Commit one of these; its result."""
        committed = await self._commit(op, size, timeout)
        return self.settle(committed.results[0], committed)

    async def extend(self, seconds: Duration | None = None, timeout: float | None = None) -> datetime:
        """As `Tasks.extend`."""
        lease = validate.duration(self._seconds if seconds is None else seconds, "the lease")
        asked = asyncio.get_running_loop().time()
        committed = await self._commit(Extend(self.task._image.ref, self.token, lease), 0, timeout)
        extended = cast(Extended, committed.results[0])
        self._ends = max(self._ends, asked + lease / 1000)
        self.until_ms = extended.lease_until
        self.cancel_requested = extended.cancel_requested
        return self.lease_until

    async def abandon(self) -> None:
        """Release it, if nobody used it or ended it. Errors are logged; the lease then runs out."""
        if self._user is None and not self.ended and not self.lost:
            await self._see_through(self.giving_back())

    async def _commit(self, op: Ending | Extend, size: int, timeout: float | None) -> Committed:
        try:
            return await self._trips.commit(Batch((op,)), size, timeout)
        except LeaseLost:
            self.lost = not self.ended
            raise

    async def __aenter__(self) -> Self:
        if self._user is not None or self.ended:
            raise InvalidArgument("a lease is used once; claim again for another")
        self._user = user = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = user.cancelling()
        loop = user.get_loop()
        # A timer, and a task only once it is due: most tasks are done before the first heartbeat.
        self._timer = loop.call_at(self._ends - self._seconds * 2 / 3, self._start_heart)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_heart()
        user = cast("asyncio.Task[Any]", self._user)
        if self._loss is not None:
            foreign = user.uncancel() > self._cancelling
            if not foreign and (error is None or isinstance(error, asyncio.CancelledError)):
                raise self._loss from error
        elif self.ended or (self.lost and error is not None):
            pass
        elif error is None:
            op, size = self.completion()
            try:
                await self._insist(op, size, self._ends)
            except asyncio.CancelledError:
                await self._see_through(op, size)  # the work is done: it should not be done twice
                raise
        elif isinstance(error, Exception) or (
            isinstance(error, asyncio.CancelledError) and user.cancelling() <= self._cancelling
        ):  # A CancelledError that nobody asked this task for is a failure too: a release gives the
            # attempt back, so a body that always ends like that would be tried for ever.
            await self._see_through(self.failure(error))
        else:
            await self._see_through(self.giving_back())

    async def _see_through(self, op: Ending, size: int = 0) -> None:
        """Finish in the background, so that a cancellation of the waiter does not stop it."""
        await asyncio.shield(keep(asyncio.create_task(self._tidy(op, size))))

    async def _tidy(self, op: Ending, size: int) -> None:
        until = asyncio.get_running_loop().time() + CLEANUP_SECONDS
        try:
            await self._insist(op, size, until, CLEANUP_SECONDS)
        except LeaseLost:
            pass  # it was ended by a call that was cancelled, or taken away: there is nothing to tidy
        except HiveStateError as error:
            log.warning("the lease of task %s was not ended, it will run out: %s", self.id, error)

    async def _insist(self, op: Ending, size: int, until: float, timeout: float | None = None) -> None:
        """Finish, and try again while the store is not available, until that time of the loop."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await self.finish(op, size, timeout)
                return
            except HiveStateError as error:
                pause = min(0.05, self._seconds / 10)
                if not error.retryable or clock() + pause > until:
                    raise
            await asyncio.sleep(pause)

    def _start_heart(self) -> None:
        self._beat = asyncio.create_task(self._heartbeat())

    def _stop_heart(self) -> None:
        """From here on nothing cancels the user's task any more."""
        for beating in (self._timer, self._beat):
            if beating is not None:
                beating.cancel()

    async def _heartbeat(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self.ended:
            left = self._ends - clock()
            try:
                await self.extend(timeout=left if left > 0 else self._seconds / 3)
                pause = self._seconds / 3
            except LeaseLost as error:
                self._lose(error)
                return
            except HiveStateError as error:
                left = self._ends - clock()
                if left <= 0:
                    lost = LeaseLost(f"the lease of task {self.id!r} ended before it could be extended")
                    lost.__cause__ = error
                    self._lose(lost)
                    return
                pause = min(self._seconds / 10, left)
            await asyncio.sleep(pause)

    def _lose(self, error: LeaseLost) -> None:
        if not self.ended:
            self.lost = True
            self._loss = error
            cast("asyncio.Task[Any]", self._user).cancel()
