"""Events as they were read or handed out, and the loops that consume them: follow, consume, subscribe."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from hive_state_core import codec, spi, validate
from hive_state_core.backoff import Backoff
from hive_state_core.codec import Json
from hive_state_core.errors import Closed, LeaseLost, NotFound
from hive_state_core.held import Held
from hive_state_core.ids import error_text
from hive_state_core.limits import REPLY_BYTES, SCAN_PAGE, VERSION_MAX
from hive_state_core.model import EventImage, GroupRef, StreamRef
from hive_state_core.refusals import describe
from hive_state_core.spi import (
    Ack,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    CreateGroup,
    ExtendDeliveries,
    Nack,
    StreamPage,
    StreamRead,
)
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration
from hive_state_core.waiting import Watch

log: logging.Logger = logging.getLogger("hive_state")


class Gap(NotFound):
    """The events from `start` on were asked for, but those before `first` were trimmed; or, of an ephemeral
    stream, which may be lost, it began anew, and what came between is not known."""

    def __init__(self, stream: str, start: int, first: int, anew: bool = False) -> None:
        why = "it was lost, and began anew" if anew else f"the events from {start} on were trimmed"
        super().__init__(f"stream {stream!r} begins at {first}: {why}")
        self.stream = stream
        self.start = start
        self.first = first


class Event:
    """An event as it was read. `body` is the caller's own: changing it changes nothing in the store."""

    __slots__ = ("_body", "_image")

    def __init__(self, image: EventImage) -> None:
        self._image = image
        self._body: tuple[Json] | None = None

    @property
    def body(self) -> Json:
        """Raises CorruptData if the stored bytes cannot be decoded."""
        if self._body is None:
            image = self._image
            what = f"event {image.seq} of stream {image.stream!r}"
            self._body = (codec.decode(image.body, image.raw, what),)
        return self._body[0]

    @property
    def stream(self) -> str:
        return self._image.stream

    @property
    def seq(self) -> int:
        """1, 2, 3, ... in each stream, in the order of the commits."""
        return self._image.seq

    @property
    def version(self) -> int:
        """That of the commit that published it."""
        return self._image.version

    @property
    def at(self) -> datetime:
        """When it was published, by the store's clock. The order is that of `seq`."""
        return validate.instant(self._image.at)

    def __repr__(self) -> str:
        return f"Event({self.stream!r}, seq={self.seq})"


class Delivery(Held):
    """An event handed to a consumer of a group, to be acked within its lease.

    `async with delivery:` extends it while the block runs (see `Held`), and then, unless the block did
    so itself (also by an atomic unit), acks it; after an exception it is nacked, to be handed out again
    after the back-off until its deliveries are used up; after a cancellation from outside it is given
    back, and that delivery does not count.

    attempt  how often the event was handed out in this group, this time included
    """

    def __init__(
        self, trips: Trips, ref: GroupRef, given: spi.Delivery, seconds: float, ends: float, backoff: Backoff
    ) -> None:
        """For facets. `ends` as in `Held`."""
        what = f"the lease of event {given.event.seq} of stream {ref.stream!r} in group {ref.group!r}"
        super().__init__(trips, what, seconds, ends)
        self.event: Event = Event(given.event)
        self.ref = ref
        self.token: int = given.token
        self.attempt: int = given.delivery
        self._backoff = backoff

    @property
    def body(self) -> Json:
        return self.event.body

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def named(self) -> tuple[int, int]:
        """As operations name it."""
        return (self.seq, self.token)

    def retry_ms(self, retry_in: Duration | UnsetType | None, *, jitter: bool = True) -> int | None:
        """For facets. UNSET: what the back-off says; None: never."""
        if retry_in is UNSET:
            retry_in = (self._backoff.delay if jitter else self._backoff.longest)(self.attempt)
        return None if retry_in is None else validate.duration(retry_in, "retry_in", zero=True)

    async def refresh(self) -> bool:
        """Extend it if much of its time is over; False: it is lost."""
        if self._ends - asyncio.get_running_loop().time() < self._seconds / 2:
            try:
                await self.extend()
            except LeaseLost:
                return False
        return True

    def _extension(self, milliseconds: int) -> Batch:
        return Batch((ExtendDeliveries(self.ref, (self.named,), milliseconds),))

    def _ending(self, error: BaseException | None) -> Batch:
        if error is None:
            return Batch((Ack(self.ref, (self.named,)),))
        if isinstance(error, Exception):
            return Batch((Nack(self.ref, (self.named,), self.retry_ms(UNSET), error_text(error)),))
        return Batch((Nack(self.ref, (self.named,), 0, spent=False),))

    def __repr__(self) -> str:
        return f"Delivery({self.event!r}, group={self.ref.group!r}, attempt={self.attempt})"


class Claim(msgspec.Struct, frozen=True):
    """`drained`: the group had no more to give; then `next_due_in` (ms) is a hint when that may change."""

    deliveries: list[Delivery]
    drained: bool
    next_due_in: int | None


async def claim(trips: Trips, request: ClaimEvents, backoff: Backoff, timeout: float | None) -> Claim:
    """If the caller is cancelled, what it got is given back. NotFound: there is no such group."""
    seconds = request.lease / 1000
    ends = asyncio.get_running_loop().time() + seconds  # the store counts from later on
    claimed = cast(ClaimedEvents, await trips.claim(request, timeout))
    if claimed.missing:
        raise NotFound(f"{describe(request.ref)} does not exist; create_group makes it")
    given = claimed.deliveries
    drained = len(given) < request.limit and sum([len(each.event.body) for each in given]) < REPLY_BYTES
    deliveries = [Delivery(trips, request.ref, each, seconds, ends, backoff) for each in given]
    return Claim(deliveries, drained, claimed.next_due_in)


async def follow(
    trips: Trips, ref: StreamRef, start: int | None, poll: Duration
) -> AsyncGenerator[Event, None]:
    """See `Events.follow`; None: from now on."""
    watch = Watch(trips, ref, poll)
    read = StreamRead(ref, VERSION_MAX if start is None else start, SCAN_PAGE // 4)
    begun = start is not None  # whether `read.start` is a number that the caller relies on
    version = 0  # of the last event
    try:
        while True:
            page = await watch.look(describe(ref), partial(trips.stream, read))
            if page is None:
                continue
            if not begun:
                # A stream that is not there may have been dropped: it will go on above 1.
                begun = page.last > 0
                read = replace(read, start=page.last + 1 if read.start == VERSION_MAX else page.first)
            elif read.start < page.first:
                raise Gap(ref.stream, read.start, page.first)
            if _anew(page, read.start, version):
                raise Gap(ref.stream, read.start, page.first, anew=True)
            for image in page.events:
                version = image.version
                yield Event(image)
                read = replace(read, start=image.seq + 1)
            if page.events:
                watch.found()
            if read.start > page.last:
                await watch.wait()
    except Closed:
        log.info("the store was closed; no more events of %s", describe(ref))
    finally:
        await watch.close()


def _anew(page: StreamPage, start: int, version: int) -> bool:
    """Whether the stream was lost since an event of this version was read, the last one before `start`."""
    if page.events:
        return page.events[0].version < version
    return 0 < page.last < start - 1 and version > 0


class Source:
    """Claims of one consumer of a group, with the waiting in between."""

    def __init__(
        self, trips: Trips, request: ClaimEvents, create: CreateGroup | None, backoff: Backoff, poll: Duration
    ) -> None:
        self._trips = trips
        self._request = request
        self._create = create
        self._backoff = backoff
        self._watch = Watch(trips, StreamRef(request.ref.stream), poll)
        self._last: Claim | None = None
        self.close: Callable[[], Awaitable[None]] = self._watch.close

    async def take(self) -> list[Delivery]:
        """None, if there are none for now: to be asked again, as this waits where it should."""
        if self._last is not None and self._last.drained:
            await self._watch.wait(self._last.next_due_in)
        self._last = await self._watch.look(describe(self._request.ref), self._claim)
        if self._last is None:
            return []
        if self._last.deliveries:
            self._watch.found()
        return self._last.deliveries

    async def _claim(self) -> Claim:
        if self._create is not None:
            await self._trips.commit(Batch((self._create,)))
            self._create = None
        return await claim(self._trips, self._request, self._backoff, None)


async def consume(source: Source) -> AsyncGenerator[Delivery, None]:
    """See `Events.consume`."""
    try:
        while True:
            for delivery in await source.take():
                try:
                    yield delivery
                except BaseException:
                    await delivery.abandon()
                    raise
    except Closed:
        log.info("the store was closed; no more deliveries")
    finally:
        await source.close()


class Unfinished(Exception):
    """Kept with the delivery of an event whose consumer did not ask for the next one."""


async def subscribe(source: Source) -> AsyncGenerator[Event, None]:
    """See `Events.subscribe`."""
    fetched: deque[Delivery] = deque()
    current: Delivery | None = None
    try:
        while True:
            if not fetched:
                fetched.extend(await source.take())
                continue
            delivery = fetched.popleft()
            if await delivery.refresh():
                current = delivery
                yield current.event
                asked, current = current, None
                await asked.wind_up(None)
    except Closed:
        log.info("the store was closed; no more events")
    finally:
        await source.close()
        if current is not None:
            await current.abandon(Unfinished("the consumer stopped at this event"))
        for delivery in fetched:
            await delivery.abandon()
