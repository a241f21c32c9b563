"""Consuming a queue: a loop of concurrent handlers, and leases one by one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import cast

import msgspec

from hive_state_core import validate
from hive_state_core.backoff import Backoff
from hive_state_core.codec import Json
from hive_state_core.errors import Closed, HiveStateError, LeaseLost, Unavailable
from hive_state_core.held import keep
from hive_state_core.ids import names
from hive_state_core.leases import Lease
from hive_state_core.limits import CLAIM, REPLY_BYTES
from hive_state_core.model import QueueRef, TaskImage
from hive_state_core.refusals import describe
from hive_state_core.roster import Roster
from hive_state_core.spi import Batch, ClaimedTasks, ClaimTasks, Take
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration
from hive_state_core.waiting import Watch

Handler = Callable[[Lease], Awaitable[Json | None]]

log: logging.Logger = logging.getLogger("hive_state")


def claim_request(
    queue: str, worker: str, lease: Duration, limit: int, capabilities: Iterable[str]
) -> ClaimTasks:
    """The validated request."""
    return ClaimTasks(
        validate.name(queue, "queue"),
        validate.name(worker, "worker"),
        validate.duration(lease, "lease"),
        validate.integer(limit, "limit", 1, CLAIM),
        frozenset(names(capabilities, "capabilities")) if capabilities else frozenset(),
    )


class Claim(msgspec.Struct, frozen=True):
    """`drained`: the queue had no more to give; then `next_due_in` (ms) is a hint when that may change."""

    leases: list[Lease]
    drained: bool
    next_due_in: int | None


async def claim(trips: Trips, request: ClaimTasks, backoff: Backoff, timeout: float | None) -> Claim:
    """One claim. If the caller is cancelled, what it got is released."""
    seconds = request.lease / 1000
    ends = asyncio.get_running_loop().time() + seconds  # the store counts from later on
    claimed = cast(ClaimedTasks, await trips.claim(request, timeout))
    tasks = claimed.tasks
    leases = [Lease(trips, image, seconds, ends, backoff) for image in tasks]
    drained = len(tasks) < request.limit and sum([len(image.payload) for image in tasks]) < REPLY_BYTES
    return Claim(leases, drained, claimed.next_due_in)


async def take(trips: Trips, op: Take, backoff: Backoff, timeout: float | None) -> Lease | None:
    """The lease of that very task; None if it cannot be had. If the caller is cancelled, or time is up, what
    was taken is released."""
    validate.timeout(timeout)
    taking = keep(asyncio.create_task(_take(trips, op, backoff)))
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.shield(taking)
    except TimeoutError:
        keep(asyncio.create_task(_give_back(taking)))
        raise Unavailable(f"no answer within {timeout} s; the task was not taken") from None
    except asyncio.CancelledError:
        keep(asyncio.create_task(_give_back(taking)))
        raise


async def _take(trips: Trips, op: Take, backoff: Backoff) -> Lease | None:
    seconds = op.lease / 1000
    ends = asyncio.get_running_loop().time() + seconds
    token = (await trips.commit(Batch((op,)))).results[0]
    if not token:
        return None
    (image,) = cast("Sequence[TaskImage | None]", await trips.read((op.ref,)))
    if image is None or image.token != token:  # taken away again: a lease that short
        return None
    return Lease(trips, image, seconds, ends, backoff)


async def _give_back(taking: asyncio.Task[Lease | None]) -> None:
    try:
        lease = await taking
    except HiveStateError:  # nothing was taken, or the lease will run out
        return
    if lease is not None:
        await lease.abandon()


class Claims(msgspec.Struct, frozen=True):
    """Whose claims, for what; its worker's heartbeats. `follow`: with the capabilities of the registered
    agent, as they are each time."""

    trips: Trips
    roster: Roster
    request: ClaimTasks
    backoff: Backoff
    follow: bool

    async def claim(self, limit: int) -> Claim:
        request = msgspec.structs.replace(self.request, limit=limit)
        if self.follow:
            covered = await self.roster.capabilities(request.worker)
            request = msgspec.structs.replace(request, capabilities=covered)
        return await claim(self.trips, request, self.backoff, None)


class Source:
    """Claims of one worker on one queue, with the waiting in between. `stopped` ends all waiting."""

    def __init__(self, claims: Claims, poll: Duration, stopped: asyncio.Future[bool] | None = None) -> None:
        self._claims = claims
        self._queue = QueueRef(claims.request.queue)
        self._watch = Watch(claims.trips, self._queue, poll, stopped)
        self._stopped = stopped
        self._last: Claim | None = None
        self.close: Callable[[], Awaitable[None]] = self._watch.close

    async def take(self, limit: int) -> list[Lease]:
        """Up to `limit` leases. None, if the queue is drained, the store is not available, or a stop came:
        all to be asked again, as this waits where it should. Raises what waiting does not mend."""
        if self._last is not None and self._last.drained:
            await self._watch.wait(self._last.next_due_in)
            if self._stopped is not None and self._stopped.done():
                return []
        self._last = await self._watch.look(describe(self._queue), partial(self._claims.claim, limit))
        if self._last is None:
            return []
        if self._last.leases:
            self._watch.found()
        return self._last.leases


class _Crew:
    """Handlers at work, at most `most` at once."""

    def __init__(self, source: Source, handler: Handler, most: int, stopped: asyncio.Future[bool]) -> None:
        self._source = source
        self._handler = handler
        self._most = most
        self._stopped = stopped
        self._busy: dict[asyncio.Task[None], Lease] = {}
        self._change = asyncio.Event()
        stopped.add_done_callback(lambda _: self._change.set())

    async def run(self) -> None:
        """Until `stopped`, and the handlers are done. If it is cancelled or fails, they are cancelled."""
        try:
            while not self._stopped.done():
                free = self._most - len(self._busy)
                if free:
                    for lease in await self._source.take(free):
                        self._start(lease)
                else:
                    self._change.clear()
                    await self._change.wait()
            if self._busy:
                await asyncio.wait(self._busy)
        finally:
            await self._send_home()

    def _start(self, lease: Lease) -> None:
        task = asyncio.create_task(self._handle(lease))
        self._busy[task] = lease
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._busy[task]
        self._change.set()

    async def _send_home(self) -> None:
        busy = dict(self._busy)
        for task in busy:
            task.cancel()
        if busy:
            await asyncio.wait(busy)
        for lease in busy.values():
            await lease.abandon()  # of a task that was cancelled before its first step

    async def _handle(self, lease: Lease) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            async with lease:
                result = await self._handler(lease)
                lease.result = lease.result if result is None else result
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            _report(lease, error)
        except Exception as error:
            _report(lease, error)


def _report(lease: Lease, error: BaseException) -> None:
    task = lease.task
    if isinstance(error, LeaseLost):
        log.warning("task %s of queue %s: %s", task.id, task.queue, error)
        return
    log.error(
        "task %s of queue %s failed (attempt %d of %d)",
        *(task.id, task.queue, task.attempt, task.max_attempts),
        exc_info=error,
    )


async def work(claims: Claims, handler: Handler, *, poll: Duration, stop: asyncio.Event | None) -> None:
    """See `Tasks.work`; the limit of the request is the concurrency."""
    if stop is not None and stop.is_set():
        return
    loop = asyncio.get_running_loop()
    stopped = loop.create_future() if stop is None else asyncio.ensure_future(stop.wait())
    source = Source(claims, poll, stopped)
    try:
        async with claims.roster.alive(claims.request.worker):
            await _Crew(source, handler, claims.request.limit, stopped).run()
    except Closed:
        log.info("the store was closed; no more work on queue %s", claims.request.queue)
    finally:
        stopped.cancel()
        await source.close()


async def consume(claims: Claims, *, poll: Duration) -> AsyncGenerator[Lease, None]:
    """See `Tasks.consume`."""
    source = Source(claims, poll)
    try:
        async with claims.roster.alive(claims.request.worker):
            while True:
                for lease in await source.take(1):
                    try:
                        yield lease
                    except BaseException:
                        await lease.abandon()
                        raise
    except Closed:
        log.info("the store was closed; no more tasks of queue %s", claims.request.queue)
    finally:
        await source.close()
