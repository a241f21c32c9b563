"""The lease of a task: the right to finish it, for as long as the lease is kept alive."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from msgspec import UNSET, UnsetType

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import HiveStateError, LeaseLost
from hive_state_core.held import CLEANUP_SECONDS, KeptAlive, keep, log
from hive_state_core.ids import error_text
from hive_state_core.model import TaskImage
from hive_state_core.spi import Batch, Committed, Complete, Extend, Extended, Fail, Release
from hive_state_core.task_model import Task
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration

if TYPE_CHECKING:
    from hive_state_core.backoff import Backoff

Ending = Complete | Fail | Release


class Lease(KeptAlive):
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

    _result: tuple[bytes | None, bool] = (None, False)

    def __init__(self, trips: Trips, image: TaskImage, seconds: float, ends: float, backoff: Backoff) -> None:
        """For facets. `ends`: as in `KeptAlive`."""
        super().__init__(seconds, ends)
        self.task: Task = Task(image)
        self.id: str = image.ref.id
        self.attempt: int = image.attempt
        self.token: int = image.token
        self.until_ms: int = image.lease_until or 0
        self.cancel_requested: bool = image.cancel_requested  # as of the claim or the last extension
        self._trips = trips
        self._ref = image.ref
        self._backoff = backoff

    @property
    def payload(self) -> Json:
        """What was enqueued. Raises CorruptData if the stored bytes cannot be decoded."""
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
        return Complete(self._ref, self.token, data, raw), len(data or b"")

    def failure(
        self, error: object, retry_in: Duration | UnsetType | None = UNSET, *, jitter: bool = True
    ) -> Fail:
        """`retry_in` UNSET: what the back-off says."""
        if retry_in is UNSET:
            retry_in = (self._backoff.delay if jitter else self._backoff.longest)(self.attempt)
        wait = None if retry_in is None else validate.duration(retry_in, "retry_in", zero=True)
        return Fail(self._ref, self.token, error_text(error), wait)

    def giving_back(self, delay: Duration = 0) -> Release:
        """As `Tasks.release`."""
        return Release(self._ref, self.token, validate.duration(delay, "delay", zero=True))

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
        committed = await self._commit(Extend(self._ref, self.token, lease), 0, timeout)
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
            self._find_lost()
            raise

    async def __aenter__(self) -> Self:
        self._begin("a lease is used once; claim again for another")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_heart()
        if self._tell_loss(error) or self.ended or (self.lost and error is not None):
            return
        if error is None:
            op, size = self.completion()
            try:
                await self._insist(op, size, self._ends)
            except asyncio.CancelledError:
                await self._see_through(op, size)  # the work is done: it should not be done twice
                raise
        elif self._was_cancelled(error) or not isinstance(error, Exception | asyncio.CancelledError):
            await self._see_through(self.giving_back())
        else:
            # A CancelledError that nobody asked this task for is a failure too: a release gives the
            # attempt back, so a body that always ends like that would be tried for ever.
            await self._see_through(self.failure(error))

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

    def _words(self) -> str:
        return f"the lease of task {self.id!r}"
