"""Between the facets and a driver: the lanes that trips travel in, and what becomes of a trip that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import uniform
from time import monotonic, perf_counter
from typing import Any, TypeVar, cast
from uuid import uuid4

from hive_state_core import validate
from hive_state_core.apart import Apart
from hive_state_core.batching import Lane, elsewhere
from hive_state_core.crowd import Crowd
from hive_state_core.errors import (
    Closed,
    HiveStateError,
    Indeterminate,
    Internal,
    Sealed,
    Unavailable,
    Unsupported,
)
from hive_state_core.features import Facility
from hive_state_core.following import Following, current
from hive_state_core.model import ReadRef, RecordImage, RecordRef, Topic
from hive_state_core.op_rules import WANTED_BY_OPS, conflict_keys, facilities_of, giving_back
from hive_state_core.refusals import refusal_error
from hive_state_core.spi import (
    MISSED,
    Batch,
    Caching,
    Claimed,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Driver,
    Forgetting,
    Missed,
    Op,
    Outcome,
    Page,
    Reply,
    Retention,
    Scan,
    ScanImage,
    Stats,
    StreamPage,
    StreamRead,
    Swept,
)
from hive_state_core.telemetry import Telemetry

Sent = TypeVar("Sent")
Answer = TypeVar("Answer")

OP_WEIGHT = 1024
"""Bytes that an operation counts for in a trip, at least: a trip of many small ones is bounded too."""

SWITCH_BUDGET = 30.0
"""Seconds for which a write waits for a sealed store before it is refused."""

SEALED_POLL = 0.01

log: logging.Logger = logging.getLogger("hive_state")


class Trips:
    """Over one open driver: every call is checked against its features, batched, and answered or raised."""

    def __init__(self, driver: Driver, telemetry: Telemetry | None = None) -> None:
        """`telemetry` is given for the trips of what is ephemeral, which those of the rest make."""
        self.driver = driver
        self._apart = Apart(driver.features.ephemeral if telemetry is None else frozenset())
        telemetry = telemetry or Telemetry()
        self.telemetry: Telemetry = telemetry
        self._ephemeral: Trips | None = Trips(driver, telemetry) if self._apart.names else None
        self.crowd: Crowd = Crowd(current(driver).features.trips)
        self._asks: bool = driver.features.has(Facility.OUTCOMES)
        if isinstance(driver, Following):
            driver.tell(self._moved)
            self._asks = False  # it asks by itself, of the store to which the trip went
        self._read: Lane[tuple[ReadRef, ...], Sequence[ScanImage | None]] = Lane(
            self._send_reads, telemetry.reads, self.crowd, writes=False
        )
        self._commit: Lane[Batch, Outcome] = Lane(
            lambda batches: self._write(self.driver.commit, batches), telemetry.commits, self.crowd
        )
        self._claim: Lane[ClaimRequest, Claimed] = Lane(
            lambda requests: self._write(self.driver.claim, requests),
            telemetry.claims,
            self.crowd,
            abandoned=self._give_back,
        )
        self._stream: Lane[StreamRead, StreamPage] = Lane(
            self._send_streams, telemetry.streams, self.crowd, writes=False
        )
        self._forgetting: Forgetting | None = driver if isinstance(driver, Forgetting) else None
        self._caching: Caching | None = self._cache_of(current(driver))
        if isinstance(driver, Caching):
            telemetry.cache = driver.counts
        self._recall: Lane[RecordRef, RecordImage | Missed | None] = Lane(
            self._send_recalls, telemetry.recalls, Crowd(ahead_of=self.crowd), writes=False
        )
        self._fetch: Lane[RecordRef, RecordImage | None] = Lane(
            self._send_fetches, telemetry.fetches, self.crowd, writes=False
        )
        self._own_id = uuid4().hex
        self._trips = 0
        self._lacks = frozenset(Facility) - driver.features.facilities
        self._background: set[asyncio.Task[None]] = set()
        self._direct_calls: set[asyncio.Task[Any]] = set()
        self._waits: set[asyncio.Task[frozenset[Topic]]] = set()
        self.at: int = 0  # the store's instant in the latest reply to a read
        self._closed = "the store is not open yet"
        self._loop: asyncio.AbstractEventLoop | None = None

    def _moved(self, there: Driver) -> None:
        """The hive lives in another store now, which may want more trips under way, or fewer, and have a
        cache, or none."""
        self.crowd.most = there.features.trips
        self._caching = self._cache_of(there)

    def _cache_of(self, there: Driver) -> Caching | None:
        """What is asked for single records: the driver, if `there`, where the hive lives, has a cache."""
        return self.driver if isinstance(there, Caching) and isinstance(self.driver, Caching) else None

    def open(self) -> None:
        """Take calls from now on, from this event loop: the driver is open."""
        self._closed = ""
        self._loop = asyncio.get_running_loop()
        for lane in (self._read, self._recall, self._fetch, self._stream, self._commit, self._claim):
            lane.open()
        if self._ephemeral is not None:
            self._ephemeral.open()

    async def close(self) -> None:
        """Let everything that was called come to its end, and take no more."""
        self._closed = "the store is closed"
        if self._ephemeral is not None:
            await self._ephemeral.close()
        for hint in self._waits:
            hint.cancel()
        await asyncio.gather(*self._direct_calls, return_exceptions=True)
        await self._recall.close()
        await self._fetch.close()
        await self._read.close()
        await self._stream.close()
        await self._claim.close()
        await asyncio.gather(*self._background)
        await self._commit.close()

    async def read(
        self, refs: tuple[ReadRef, ...], timeout: float | None = None, fresh: bool = False
    ) -> Sequence[ScanImage | None]:
        """The images, None where absent: all from one snapshot, in the order of `refs`. One record may come
        from the driver's cache, unless it is to be `fresh`."""
        if not refs:
            return ()
        if len(refs) == 1 and isinstance(refs[0], RecordRef):
            return (await self.record(refs[0], timeout, fresh),)
        if self._ephemeral is not None and self._apart.have(refs):
            return await self._ephemeral.read(refs, timeout, fresh=True)
        return await self._read.call(refs, timeout=timeout)

    async def record(
        self, ref: RecordRef, timeout: float | None = None, fresh: bool = False
    ) -> RecordImage | None:
        """The image of one record, in few steps: most reads of a hive are answered from memory."""
        if self._ephemeral is not None and self._apart.has(ref):
            return await self._ephemeral.record(ref, timeout, fresh=True)
        cache = self._caching
        if cache is None or fresh:
            (image,) = await self._read.call((ref,), timeout=timeout)
            return cast("RecordImage | None", image)
        found = None if self._closed else cache.peek(ref)
        if found is None:
            found = await self._recall.call(ref, timeout=timeout)
        elif found is not MISSED:
            return found
        return found if found is not MISSED else await self._fetch.call(ref, timeout=timeout)

    async def stream(self, read: StreamRead, timeout: float | None = None) -> StreamPage:
        """Events by number."""
        self.require(Facility.STREAMS)
        if self._ephemeral is not None and self._apart.has(read.ref):
            return await self._ephemeral.stream(read, timeout)
        return await self._stream.call(read, timeout=timeout)

    async def scan(self, query: Scan, timeout: float | None = None) -> Page:
        """One page."""
        if query.kind != "record":
            self.require(Facility.TASKS if query.kind in ("task", "queue") else Facility.STREAMS)
        sent = perf_counter()
        page = await self._direct(self.driver.scan(query), timeout)
        self.telemetry.scans.arrived_alone(query.kind, sent)
        return page

    async def stats(self, timeout: float | None = None) -> Stats:
        return await self._direct(self.driver.stats(), timeout)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self._direct(self.driver.sweep(limit, retention), None)

    async def wait(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        """A hint that something happened; see `Driver.wait`. Empty at once when the store is closed."""
        hint = asyncio.create_task(self._hear(topics, timeout_ms))
        self._waits.add(hint)
        try:
            await asyncio.wait({hint})
        finally:
            self._waits.discard(hint)
            hint.cancel()
        return frozenset() if hint.cancelled() else hint.result()

    async def _hear(self, topics: frozenset[Topic], timeout_ms: int) -> frozenset[Topic]:
        # Not made by the caller: its task may be cancelled before it begins, and this would never be awaited.
        return await self._direct(self.driver.wait(topics, timeout_ms), None)

    async def commit(self, batch: Batch, size: int = 0, timeout: float | None = None) -> Committed:
        """Raises the error of the first thing that did not hold; then nothing of the batch was applied.

        `size`: bytes of the values in it, for the bound of a trip.
        """
        if not self._lacks.isdisjoint(WANTED_BY_OPS):
            for op in batch.ops:
                self.require(*facilities_of(op))
        if self._ephemeral is not None and self._apart.hold(batch):
            return await self._ephemeral.commit(batch, size, timeout)
        if timeout is None and (trip := self._commit.leave_alone(batch)) is not None:
            outcome = await trip
        else:
            size = max(size, OP_WEIGHT * (len(batch.ops) + len(batch.checks)))
            outcome = await self._commit.call(batch, *conflict_keys(batch), size, timeout)
        if isinstance(outcome, Committed):  # asked first: no is slow to find, here as everywhere of structs
            return outcome
        error = refusal_error(outcome)
        self.telemetry.commits.failed(error)
        raise error

    def claim(self, request: ClaimRequest, timeout: float | None = None) -> Coroutine[Any, Any, Claimed]:
        """To be awaited. If the caller is cancelled while the claim is under way, what it got is released at
        once."""
        if self._lacks:
            self.require(Facility.TASKS if isinstance(request, ClaimTasks) else Facility.STREAMS)
        if self._ephemeral is not None and self._apart.serve(request):
            return self._ephemeral.claim(request, timeout)
        return self._claim.call(request, timeout=timeout)

    def require(self, *facilities: Facility) -> None:
        """Raises Unsupported if the driver lacks one of them; nothing was asked of it then."""
        for facility in facilities:
            if facility in self._lacks:
                backend = type(self.driver).__name__
                raise Unsupported(f"{backend} does not offer {facility.value}", feature=facility.value)

    def _require_here(self) -> None:
        if self._closed:
            raise Closed(self._closed)
        if asyncio.get_running_loop() is not self._loop:
            raise elsewhere()

    async def _direct(self, call: Coroutine[Any, Any, Answer], timeout: float | None) -> Answer:
        """A call that is not batched."""
        try:
            validate.timeout(timeout)
            self._require_here()
        except HiveStateError:
            call.close()
            raise
        running = asyncio.create_task(call)
        self._direct_calls.add(running)
        running.add_done_callback(self._direct_calls.discard)
        try:
            async with asyncio.timeout(timeout):
                return await running
        except TimeoutError:
            raise Unavailable(f"no answer within {timeout} s") from None
        except Exception as error:
            raise _wrap(error) from error.__cause__

    async def _send_reads(
        self, asked: Sequence[tuple[ReadRef, ...]]
    ) -> Sequence[Sequence[ScanImage | None] | HiveStateError]:
        refs = [ref for refs in asked for ref in refs]
        try:
            reply = await self.driver.read(refs)
            self.at, images = reply.at, reply.results
        except Exception as error:
            return _for_each(error, len(asked))
        answers: list[Sequence[ScanImage | None] | HiveStateError] = []
        start = 0
        for group in asked:
            answers.append(images[start : start + len(group)])
            start += len(group)
        return answers

    async def _send_recalls(
        self, refs: Sequence[RecordRef]
    ) -> Sequence[RecordImage | Missed | HiveStateError | None]:
        try:
            reply = await cast(Caching, self.driver).recall(refs)
            self.at = max(self.at, reply.at)
        except Exception as error:
            return _for_each(error, len(refs))
        return reply.results

    async def _send_fetches(self, refs: Sequence[RecordRef]) -> Sequence[RecordImage | HiveStateError | None]:
        try:
            reply = await cast(Caching, self.driver).fetch(refs)
            self.at = reply.at
        except Exception as error:
            return _for_each(error, len(refs))
        return reply.results

    async def _send_streams(self, reads: Sequence[StreamRead]) -> Sequence[StreamPage | HiveStateError]:
        try:
            return (await self.driver.stream(reads)).results
        except Exception as error:
            return _for_each(error, len(reads))

    async def _write(
        self, send: Callable[[Sequence[Sent], str], Awaitable[Reply[Answer]]], items: Sequence[Sent]
    ) -> Sequence[Answer | HiveStateError]:
        """One write trip. If it broke on something unforeseen, each item is tried in a trip of its own,
        once, so that one caller's poison does not fail its neighbours."""
        self._trips += 1
        trip_id = f"{self._own_id}-{self._trips}"  # never used again, by nobody
        try:
            try:
                reply = await send(items, trip_id)
            except Sealed:
                reply = await self._once_unsealed(send, items, trip_id)
            if self._forgetting is not None:
                self._forgetting.heard(trip_id)
            return reply.results
        except Indeterminate as error:
            return await self._ask_outcome(trip_id, error, len(items))
        except Exception as error:
            wrapped = _wrap(error)
            if not isinstance(wrapped, Internal) or len(items) == 1:
                return _for_each(wrapped, len(items))
            log.warning("a trip of %d failed and is retried one by one: %r", len(items), error)
        answers: list[Answer | HiveStateError] = []
        for item in items:
            alone = await self._write(send, [item])
            answers.extend(alone)
        return answers

    async def _once_unsealed(
        self,
        send: Callable[[Sequence[Sent], str], Awaitable[Reply[Answer]]],
        items: Sequence[Sent],
        trip_id: str,
    ) -> Reply[Answer]:
        """The reply of a trip that a sealed store refused. It waits, and all that gathers behind it, for as
        long as a switch may take."""
        until = monotonic() + SWITCH_BUDGET
        while True:
            await asyncio.sleep(SEALED_POLL * uniform(0.5, 1.5))
            try:
                return await send(items, trip_id)
            except Sealed:
                if self._closed or monotonic() > until:
                    raise

    async def _ask_outcome(self, trip_id: str, error: Indeterminate, count: int) -> Sequence[Any]:
        """After a trip whose end is unknown: what the store remembers of it."""
        if not self._asks:
            return _for_each(error, count)
        try:
            reply = await self.driver.outcome(trip_id)
        except Exception as unasked:
            known = isinstance(unasked, HiveStateError)
            log.warning("the outcome of a trip could not be asked: %s", unasked, exc_info=not known)
            return _for_each(error, count)
        if reply is None:
            return _for_each(_not_applied(error), count)
        return reply.results

    def _give_back(self, request: ClaimRequest, claimed: Claimed) -> None:
        """The caller of a claim is gone: its leases are released, not left to run out."""
        ops = list(giving_back(request, claimed))
        if ops:
            task = asyncio.create_task(self._release(ops))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _release(self, ops: Sequence[Op]) -> None:
        for op in ops:
            try:
                await self.commit(Batch((op,)))
            except HiveStateError as error:
                log.warning("the lease of an abandoned claim was not released, it will run out: %s", error)


def _not_applied(error: Indeterminate) -> HiveStateError:
    found = Unavailable("the connection was lost before the work was done; it was not applied")
    found.__cause__ = error.__cause__ or error
    return found


def _unforeseen(error: Exception) -> Internal:
    found = Internal(f"unforeseen {type(error).__name__} in a driver; this is a defect of the driver")
    found.__cause__ = error
    return found


def _wrap(error: Exception) -> HiveStateError:
    return error if isinstance(error, HiveStateError) else _unforeseen(error)


def _for_each(error: Exception, count: int) -> Sequence[HiveStateError]:
    wrapped = _wrap(error)
    return [wrapped.copy() for _ in range(count)]
