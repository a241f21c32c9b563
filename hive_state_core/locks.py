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
from typing import cast
from weakref import WeakValueDictionary

import msgspec

from hive_state_core import codec, validate
from hive_state_core.errors import (
    AlreadyExists,
    HiveStateError,
    LeaseLost,
    Unavailable,
)
from hive_state_core.held import Held, keep
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import Batch, Committed, CreatedIs, Delete, Put, Touch, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.validate import Duration

COLLECTION = "hive:locks"
POLL = 0.5
"""Seconds between two tries for a lock that others hold, at most."""

log: logging.Logger = logging.getLogger("hive_state")


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
        (image,) = await self._trips.read((lock_ref(name),), timeout, fresh=True)
        return None if image is None else _holder(cast(RecordImage, image))

    async def _attempt(self, wanted: _Wanted, timeout: float | None) -> Lock | None:
        """Take it if it is free. What a cancelled call took is given back at once."""
        validate.timeout(timeout)
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
                (image,) = await self._trips.read((wanted.ref,), timeout, fresh=True)
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
        (image,) = await self._trips.read((ref,), timeout, fresh=True)
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
