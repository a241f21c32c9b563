"""Locks: a name that one at a time holds, for as long as it is kept alive, with a fencing token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from os import getpid
from socket import gethostname
from time import time
from types import TracebackType
from typing import Any, Self, cast
from weakref import WeakValueDictionary

import msgspec

from hive_state_core import codec, validate
from hive_state_core.errors import (
    AlreadyExists,
    Conflict,
    HiveStateError,
    InvalidArgument,
    LeaseLost,
    Unavailable,
)
from hive_state_core.leases import CLEANUP_SECONDS, keep
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import Batch, Committed, CreatedIs, Delete, Put, Touch, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.validate import Duration

COLLECTION = "hive:locks"
POLL = 0.5
"""Seconds between two tries for a lock that others hold, at most."""

log: logging.Logger = logging.getLogger("hive_state")


class Held:
    """Something that is held for a time, and kept alive while its `async with` block runs.

    If it is lost meanwhile (its time was over and it was taken away), or nobody can say any more that it
    is not, the block is cancelled and `LeaseLost` raised. However else the block ends, the holding ends
    too, unless the block itself ended it. It is used once.

    A subclass says which batches extend and end it; each must be refused unless it is still held.
    """

    _must_end = True
    """Whether a block that ended well fails if the store did not take its end."""

    def __init__(self, trips: Trips, what: str, seconds: float, ends: float) -> None:
        """`ends`: when `seconds` are over on the event loop's clock, rather early than late."""
        self.ended: bool = False  # through this object
        self.lost: bool = False
        self._trips = trips
        self._what = what
        self._seconds = seconds
        self._ends = ends
        self._user: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._loss: LeaseLost | None = None

    def _extension(self, milliseconds: int) -> Batch:
        raise NotImplementedError

    def _ending(self, error: BaseException | None) -> Batch:
        """`error` ended the block; a CancelledError: it was cancelled from outside."""
        raise NotImplementedError

    def lapse(self, conflict: Conflict) -> LeaseLost:
        """What it is to the holder that one of the batches was refused."""
        self.lost = not self.ended
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
        if self._user is not None or self.ended:
            raise InvalidArgument(f"{self._what} has had its block, or was ended; it is used once")
        self._user = user = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = user.cancelling()
        # A timer, and a task only once it is due: most blocks end before the first heartbeat.
        self._timer = user.get_loop().call_at(self._ends - self._seconds * 2 / 3, self._start_heart)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for beating in (self._timer, self._beat):
            if beating is not None:
                beating.cancel()  # from here on nothing cancels the user's task any more
        user = cast("asyncio.Task[Any]", self._user)
        if self._loss is not None:
            foreign = user.uncancel() > self._cancelling
            if not foreign and (error is None or isinstance(error, asyncio.CancelledError)):
                raise self._loss from error
        elif not self.ended and not (self.lost and error is not None):
            if isinstance(error, asyncio.CancelledError) and user.cancelling() <= self._cancelling:
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
                    lost = LeaseLost(f"the time of {self._what} ended before it could be extended")
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


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, as it was read."""

    owner: str
    fencing_token: int
    acquired_at: datetime
    expires_at: datetime


class _Wanted(msgspec.Struct, frozen=True):
    ref: RecordRef
    ttl: int
    owner: str


class Lock(Held):
    """A lock that was taken; `async with lock:` keeps it alive and releases it, see `Held`.

    `fencing_token` is greater than that of every earlier holder: hand it to what the lock protects, or
    let an atomic unit check it (`unit.locks.expect`). A block that ends well although the lock was lost
    raises LeaseLost too. If the store does not take the release, that is logged, and the lock runs out.
    """

    _must_end = False

    def __init__(self, trips: Trips, wanted: _Wanted, token: int, ends: float) -> None:
        """For facets."""
        super().__init__(trips, f"lock {wanted.ref.key!r}", wanted.ttl / 1000, ends)
        self.name: str = wanted.ref.key
        self.owner: str = wanted.owner
        self.fencing_token = token
        self.check: CreatedIs = CreatedIs(wanted.ref, token)

    def _extension(self, milliseconds: int) -> Batch:
        return Batch((Touch(self.check.ref, milliseconds),), (self.check,))

    def _ending(self, error: BaseException | None = None) -> Batch:
        return Batch((Delete(self.check.ref),), (self.check,))

    def __repr__(self) -> str:
        return f"Lock({self.name!r}, owner={self.owner!r}, fencing_token={self.fencing_token})"


class Locks:
    """`hive.locks`. Every verb takes `timeout=` in seconds, for each call of the store."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(
        self,
        name: str,
        *,
        ttl: Duration = 30,
        owner: str | None = None,
        wait: Duration | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Lock]:
        """`async with hive.locks.acquire("deploy") as lock: ...`: hold the lock while the block runs.

        ttl    after this time without a sign of life it is free for others; the block gives one every
               third of it
        owner  for people: who holds it; None = host and process
        wait   how long to wait for others, who are named by the AlreadyExists that follows; None = for as
               long as it takes, 0 = not at all

        Those who wait in one Store are served in order; between stores whoever asks first when it is free.
        After Indeterminate the lock may be taken until its `ttl` is over. It cannot be taken twice, not
        even by its owner.
        """
        wanted = _wanted(name, ttl, owner)
        patience = inf if wait is None else validate.duration(wait, "wait", zero=True) / 1000
        async with await self._wait_for(wanted, patience, timeout) as lock:
            yield lock

    async def try_acquire(
        self, name: str, *, ttl: Duration = 30, owner: str | None = None, timeout: float | None = None
    ) -> Lock | None:
        """The lock, for an `async with lock:` soon: nothing keeps it alive before. None: it is held."""
        return await self._attempt(_wanted(name, ttl, owner), timeout)

    async def extend(self, lock: Lock, *, timeout: float | None = None) -> None:
        """Let it live for its `ttl` from now on. Raises LeaseLost if it is not held any more."""
        await lock.extend(None, timeout)

    async def release(self, lock: Lock, *, timeout: float | None = None) -> bool:
        """Let others have it; False if it was not held any more."""
        try:
            await lock.finish(lock._ending(), timeout)
        except LeaseLost:
            return False
        return True

    async def holder(self, name: str, *, timeout: float | None = None) -> Holder | None:
        """Who holds it; None: it is free."""
        (image,) = await self._trips.read((lock_ref(name),), timeout)
        return None if image is None else _holder(cast(RecordImage, image))

    async def _attempt(self, wanted: _Wanted, timeout: float | None) -> Lock | None:
        """Take it if it is free. What a cancelled call took is given back at once."""
        data, raw = codec.encode({"owner": wanted.owner})
        batch = Batch((Put(wanted.ref, data, raw, ttl=wanted.ttl),), (VersionIs(wanted.ref, 0),))
        ends = asyncio.get_running_loop().time() + wanted.ttl / 1000  # the store counts from later on
        taking = keep(asyncio.create_task(self._trips.commit(batch, len(data))))
        try:
            async with asyncio.timeout(timeout):
                committed = await asyncio.shield(taking)
        except AlreadyExists:
            return None
        except (asyncio.CancelledError, TimeoutError) as error:
            keep(asyncio.create_task(self._undo(wanted, taking)))
            if isinstance(error, TimeoutError):
                raise Unavailable(f"no answer within {timeout} s; the lock was not taken") from None
            raise
        return Lock(self._trips, wanted, committed.version, ends)

    async def _undo(self, wanted: _Wanted, taking: asyncio.Task[Committed]) -> None:
        try:
            token = (await taking).version
            await Lock(self._trips, wanted, token, 0).abandon()
        except HiveStateError:  # nothing was taken
            return

    async def _wait_for(self, wanted: _Wanted, patience: float, timeout: float | None) -> Lock:
        until = asyncio.get_running_loop().time() + patience
        turn = self._turns.setdefault(wanted.ref.key, asyncio.Lock())
        lock = None
        if not patience or not turn.locked():
            lock = await self._attempt(wanted, timeout)
        if lock is None and patience:
            try:
                async with asyncio.timeout_at(until if patience < inf else None), turn:
                    lock = await self._contend(wanted, timeout)
            except TimeoutError:
                pass
        if lock is None:
            raise await self._refusal(wanted.ref, timeout)
        return lock

    async def _contend(self, wanted: _Wanted, timeout: float | None) -> Lock:
        """Try again whenever there may be news, or the holder's time is over."""
        loop = asyncio.get_running_loop()
        vain = 0
        while True:
            hint = asyncio.create_task(self._hear(wanted.ref))
            try:
                lock = await self._attempt(wanted, timeout)
                if lock is not None:
                    return lock
                (image,) = await self._trips.read((wanted.ref,), timeout)
                nap = min(0.001 * 2**vain, POLL / 10)  # wrong hints and clocks make no busy loop
                began = loop.time()
                await asyncio.wait({hint}, timeout=max(_until_free(cast("RecordImage | None", image)), nap))
                await asyncio.sleep(began + nap - loop.time())
                vain = 0 if loop.time() - began >= POLL else min(vain + 1, 20)
            finally:
                hint.cancel()

    async def _hear(self, ref: RecordRef) -> None:
        try:
            heard = await self._trips.wait(frozenset({ref}), round(POLL * 1000))
        except HiveStateError:  # if it matters, the next attempt says so
            heard = frozenset()
        if not heard:
            await asyncio.sleep(POLL)

    async def _refusal(self, ref: RecordRef, timeout: float | None) -> AlreadyExists:
        (image,) = await self._trips.read((ref,), timeout)
        if image is None:
            return AlreadyExists(f"lock {ref.key!r} was held by others; it is free by now", key=ref.key)
        holder = _holder(cast(RecordImage, image))
        return AlreadyExists(
            f"lock {ref.key!r} is held by {holder.owner!r} until {holder.expires_at.isoformat()}",
            key=f"lock {ref.key!r}",
            actual=holder.fencing_token,
        )


class LockOps:
    """`unit.locks`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def expect(self, lock: Lock) -> None:
        """Commit the unit only if the lock is still held by this holder, else LeaseLost: what a stale holder
        would write is refused in the same transaction. The lock is held on."""
        self._unit.check(lock.check, lock.lapse)


def this_process() -> str:
    """Who we are, for people."""
    return f"{gethostname()[:64] or 'host'}:{getpid()}"


def lock_ref(name: str) -> RecordRef:
    return RecordRef(COLLECTION, validate.key(name, "a lock's name"))


def _wanted(name: str, ttl: Duration, owner: str | None) -> _Wanted:
    who = this_process() if owner is None else validate.name(owner, "owner")
    return _Wanted(lock_ref(name), validate.duration(ttl, "ttl"), who)


def _holder(image: RecordImage) -> Holder:
    value = codec.decode(image.value or b"", image.raw, f"lock {image.ref.key!r}")
    return Holder(
        owner=value["owner"],
        fencing_token=image.created_version,
        acquired_at=validate.instant(image.created_at),
        expires_at=validate.instant(image.expires_at or 0),
    )


def _until_free(image: RecordImage | None) -> float:
    """Seconds until the holder's time is over, by this host's clock, which may differ from the store's."""
    if image is None:
        return 0
    return min(POLL, max((image.expires_at or 0) / 1000 - time(), 0) + 0.002)
