"""What is held for a time, and kept alive while it is used: the base of leases, locks and deliveries."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from hive_state_core import validate
from hive_state_core.errors import Conflict, HiveStateError, InvalidArgument, LeaseLost
from hive_state_core.spi import Batch, Committed
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration

T = TypeVar("T")

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


class KeptAlive:
    """Something that is held for a time, and extended again and again while the block that uses it runs.

    If it is lost meanwhile (its time was over and it was taken away), or nobody can say any more that it is
    not, the block is cancelled and `LeaseLost` raised.
    """

    # Of the class until they change: many are held, and few are used by a block.
    ended: bool = False  # through this object
    lost: bool = False
    _user: asyncio.Task[Any] | None = None
    _cancelling: int = 0
    _timer: asyncio.TimerHandle | None = None
    _beat: asyncio.Task[None] | None = None
    _loss: LeaseLost | None = None

    def __init__(self, seconds: float, ends: float) -> None:
        """`ends`: when `seconds` are over on the event loop's clock, rather early than late."""
        self._seconds: float = seconds
        self._ends: float = ends

    async def extend(self, seconds: Duration | None = None, timeout: float | None = None) -> object:
        """Hold it that long from now on (None: as long as at first). Raises LeaseLost."""
        raise NotImplementedError

    def _words(self) -> str:
        """What it is, for people."""
        raise NotImplementedError

    def _find_lost(self) -> None:
        """The store refused it: it was taken away, unless it was ended through this object."""
        self.lost = not self.ended

    def _begin(self, used: str) -> None:
        """The block begins. Raises InvalidArgument, which says `used`, if there was one or it was ended."""
        if self._user is not None or self.ended:
            raise InvalidArgument(used)
        self._user = user = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = user.cancelling()
        # A timer, and a task only once it is due: most blocks end before the first heartbeat.
        self._timer = user.get_loop().call_at(self._ends - self._seconds * 2 / 3, self._start_heart)

    def _stop_heart(self) -> None:
        """From here on nothing cancels the user's task any more."""
        for beating in (self._timer, self._beat):
            if beating is not None:
                beating.cancel()

    def _tell_loss(self, error: BaseException | None) -> bool:
        """Whether it was lost while the block ran, which is raised unless the block ends by
        something else."""
        if self._loss is None:
            return False
        foreign = cast("asyncio.Task[Any]", self._user).uncancel() > self._cancelling
        if not foreign and (error is None or isinstance(error, asyncio.CancelledError)):
            raise self._loss from error
        return True

    def _was_cancelled(self, error: BaseException | None) -> bool:
        """Whether the block was cancelled from outside, and does not end with a CancelledError of its own."""
        user = cast("asyncio.Task[Any]", self._user)
        return isinstance(error, asyncio.CancelledError) and user.cancelling() > self._cancelling

    def _start_heart(self) -> None:
        self._beat = asyncio.create_task(self._heartbeat())

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
                    lost = LeaseLost(f"the time of {self._words()} ended before it could be extended")
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


class Held(KeptAlive):
    """Something that is held for a time, and kept alive while its `async with` block runs, see `KeptAlive`.

    However the block ends, the holding ends too, unless it was lost or the block itself ended it. It is used
    once.

    A subclass says which batches extend and end it; each must be refused unless it is still held.
    """

    _must_end = True
    """Whether a block that ended well fails if the store did not take its end."""

    def __init__(self, trips: Trips, what: str, seconds: float, ends: float) -> None:
        """`ends`: as in `KeptAlive`."""
        super().__init__(seconds, ends)
        self._trips = trips
        self._what = what

    def _words(self) -> str:
        return self._what

    def _extension(self, milliseconds: int) -> Batch:
        raise NotImplementedError

    def _ending(self, error: BaseException | None) -> Batch:
        """`error` ended the block; a CancelledError: it was cancelled from outside."""
        raise NotImplementedError

    def lapse(self, conflict: Conflict) -> LeaseLost:
        """What it is to the holder that one of the batches was refused."""
        self._find_lost()
        if isinstance(conflict, LeaseLost):
            return conflict
        expected, actual = conflict.expected, conflict.actual
        return LeaseLost(
            f"{self._what} is not held any more (token {expected}, now {actual or 'none'})",
            key=self._what,
            expected=expected,
            actual=actual,
            index=conflict.index,
        )

    async def commit(self, batch: Batch, timeout: float | None = None) -> Committed:
        """For facets, as the next two. Raises LeaseLost if it is not held any more."""
        try:
            return await self._trips.commit(batch, timeout=timeout)
        except Conflict as conflict:
            raise self.lapse(conflict) from conflict.__cause__

    async def finish(self, batch: Batch, timeout: float | None = None) -> None:
        """Commit a batch that ends it."""
        await self.commit(batch, timeout)
        self.ended = True

    async def extend(self, seconds: Duration | None = None, timeout: float | None = None) -> None:
        """Hold it that long from now on (None: as long as at first), never shorter than it is already."""
        milliseconds = validate.duration(self._seconds if seconds is None else seconds, "the lease")
        asked = asyncio.get_running_loop().time()
        await self.commit(self._extension(milliseconds), timeout)
        self._ends = max(self._ends, asked + milliseconds / 1000)

    async def abandon(self, error: BaseException | None = None) -> None:
        """End it, if no block used it and it was not ended; None: as after a cancellation."""
        if self._user is None and not self.ended and not self.lost:
            await self.wind_up(error or asyncio.CancelledError())

    async def __aenter__(self) -> Self:
        self._begin(f"{self._what} has had its block, or was ended; it is used once")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_heart()
        if not self._tell_loss(error) and not self.ended and not (self.lost and error is not None):
            if isinstance(error, asyncio.CancelledError) and not self._was_cancelled(error):
                # Nobody asked this task for it: the block failed.
                error = RuntimeError("the block ended with a CancelledError of its own")
            await self.wind_up(error)

    async def wind_up(self, error: BaseException | None) -> None:
        """End it as its block does, in the background: a cancellation of the waiter does not stop that."""
        strict = error is None and self._must_end
        until = self._ends if strict else asyncio.get_running_loop().time() + CLEANUP_SECONDS
        work = asyncio.create_task(self._insist(self._ending(error), until))
        keep(work)
        trouble = await asyncio.shield(work)
        if trouble is None:
            return
        if strict or (error is None and isinstance(trouble, LeaseLost)):
            raise trouble
        if not isinstance(trouble, LeaseLost):  # that was ended by a call that was cancelled, or taken away
            log.warning("%s was not given back, it will run out: %s", self._what, trouble)

    async def _insist(self, batch: Batch, until: float) -> HiveStateError | None:
        """Finish, and try again while the store is not available, until that time of the loop."""
        clock = asyncio.get_running_loop().time
        pause = min(0.05, self._seconds / 10)
        while True:
            try:
                await self.finish(batch, max(until - clock(), pause))
                return None
            except HiveStateError as error:
                if not error.retryable or clock() + pause > until:
                    return error
            await asyncio.sleep(pause)
