"""Events: numbered streams, read by anyone, or consumed by groups under leases."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import cast

from msgspec import UNSET, UnsetType

from hive_state_core import subscription, validate
from hive_state_core.backoff import DEFAULT_BACKOFF, Backoff
from hive_state_core.codec import Json
from hive_state_core.errors import NotFound
from hive_state_core.event_ops import (
    EventOps,
    Start,
    ack_op,
    append_op,
    claim_request,
    create_op,
    group_ref,
    nack_op,
    position_of,
    release_op,
    seq_of,
    stream_ref,
)
from hive_state_core.features import Facility
from hive_state_core.limits import SCAN_PAGE, VERSION_MAX
from hive_state_core.model import GroupImage, StreamImage, StreamRef
from hive_state_core.pending import PendingEvent, dead_deliveries, end_dead, listed
from hive_state_core.refusals import describe
from hive_state_core.spi import (
    Ack,
    Batch,
    DropGroup,
    DropStream,
    Nack,
    Op,
    OpResult,
    Seek,
    StreamRead,
    Trimmed,
)
from hive_state_core.subscription import Delivery, Event, Gap, Source
from hive_state_core.trimming import trim, would_trim
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.validate import Duration

__all__ = ["Delivery", "Event", "EventOps", "Events", "Gap", "PendingEvent", "Start", "Trimmed"]


class Events:
    """`hive.events`. Every verb takes `timeout=` in seconds, see `Store`."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips

    async def publish(self, stream: str, body: Json, *, timeout: float | None = None) -> int:
        """Add one event, JSON (see `codec`) or bytes, to the end of the stream; its seq. A stream needs no
        creation; names that begin with "hive:" are reserved."""
        op, size = append_op(stream_ref(stream), body)
        committed = await self._trips.commit(Batch((op,)), size, timeout)
        return cast(int, committed.results[0])

    async def publish_many(
        self, stream: str, bodies: Iterable[Json], *, timeout: float | None = None
    ) -> list[int]:
        """Add all or nothing, up to 1000 events, one after the other without others between; their seqs."""
        unit = Unit(self._trips, commit_id=None, timeout=timeout)
        published = [unit.events.publish(stream, body) for body in validate.several(bodies, "bodies")]
        await unit.commit()
        return [pending.result for pending in published]

    async def read(
        self,
        stream: str,
        *,
        start: int | None = None,
        limit: int = 100,
        reverse: bool = False,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `limit` events with seq >= `start`, upwards; with `reverse`, seq <= `start`, downwards.

        None: from the first there is, or the last. Raises Gap, which names the first, if `start` was
        trimmed. There may be fewer although more follow, if their bodies are large (but at least one):
        go on from the last of them.
        """
        default = VERSION_MAX if reverse else 1
        seq = default if start is None else seq_of(start)
        read = StreamRead(stream_ref(stream), seq, validate.integer(limit, "limit", 1, SCAN_PAGE), reverse)
        page = await self._trips.stream(read, timeout)
        if start is not None and seq < page.first:
            raise Gap(stream, seq, page.first)
        return [Event(image) for image in page.events]

    def follow(
        self, stream: str, *, start: int | None = None, poll: Duration = 0.5
    ) -> AsyncGenerator[Event, None]:
        """All events from `start` on, without end, each exactly once to this reader; there is no group.

        None: those published after the first one was asked for. Raises Gap, which names the first that is
        left, if events were trimmed before they were read. A store that is not available is waited for;
        when it is closed, this ends. `poll` is the longest time between two looks.
        """
        ref, seq = stream_ref(stream), None if start is None else seq_of(start)
        return subscription.follow(self._trips, ref, seq, poll)

    async def create_group(
        self,
        stream: str,
        group: str,
        *,
        start: Start = "now",
        max_deliveries: int = 5,
        timeout: float | None = None,
    ) -> bool:
        """Make a group, in which each event from `start` on goes to one consumer; the stream need not
        exist. False: it exists, and stays as it is.

        max_deliveries  an event that was handed out so often without an ack is dead in this group
        """
        op = create_op(group_ref(stream, group), start, max_deliveries)
        return cast(bool, await self._do(op, timeout))

    async def claim(
        self,
        stream: str,
        group: str,
        *,
        consumer: str | None = None,
        lease: Duration = 30,
        limit: int = 1,
        timeout: float | None = None,
    ) -> list[Delivery]:
        """Up to `limit` events of the group: those to be handed out again, then new ones, each in the order
        of their seqs; at once, even if there are none. Raises NotFound if there is no such group.

        Nothing extends a lease before its `async with`. `consume` is the easier way.
        """
        request = claim_request(stream, group, consumer, lease, limit)
        return (await subscription.claim(self._trips, request, DEFAULT_BACKOFF, timeout)).deliveries

    async def ack(self, *deliveries: Delivery, timeout: float | None = None) -> None:
        """The group is done with these events (of one group). Raises LeaseLost, and does nothing, if one
        of the leases is not current any more; `nack` and `release` do so too."""
        await self._end(ack_op(deliveries), deliveries, timeout)

    async def nack(
        self,
        *deliveries: Delivery,
        error: str | BaseException,
        retry_in: Duration | UnsetType | None = UNSET,
        timeout: float | None = None,
    ) -> None:
        """These failed. They are handed out again after `retry_in` (by default what the back-off says of
        the one handed out most often; None = never), until their deliveries are used up: then dead."""
        await self._end(nack_op(deliveries, error, retry_in), deliveries, timeout)

    async def release(self, *deliveries: Delivery, timeout: float | None = None) -> None:
        """Give these back as if they had not been handed out."""
        await self._end(release_op(deliveries), deliveries, timeout)

    async def extend(
        self, delivery: Delivery, seconds: Duration | None = None, *, timeout: float | None = None
    ) -> None:
        """Let the lease run that long from now on (None: as long as it was claimed for); never shorter
        than it runs already."""
        await delivery.extend(seconds, timeout)

    async def seek(self, stream: str, group: str, start: Start, *, timeout: float | None = None) -> None:
        """Let the group go on from there, forward or back. What it has out or dead is forgotten: acks of
        that raise LeaseLost. Raises NotFound if there is no such group."""
        position = position_of(start)
        op = Seek(group_ref(stream, group), VERSION_MAX if position is None else position)
        await self._do(op, timeout)

    async def drop_group(self, stream: str, group: str, *, timeout: float | None = None) -> bool:
        """Whether it existed."""
        return cast(bool, await self._do(DropGroup(group_ref(stream, group)), timeout))

    async def lag(self, stream: str, group: str, *, timeout: float | None = None) -> int:
        """How many events the group was not handed yet. Raises NotFound if there is no such group."""
        ref = group_ref(stream, group)
        self._trips.require(Facility.STREAMS)
        found, head = await self._trips.read((ref, StreamRef(stream)), timeout)
        if found is None:
            raise NotFound(f"{describe(ref)} does not exist")
        if head is None:
            return 0
        first, last = cast(StreamImage, head).first, cast(StreamImage, head).last
        return max(0, last - max(cast(GroupImage, found).position, first - 1))

    def pending(
        self, stream: str, group: str, *, dead: bool | None = None, timeout: float | None = None
    ) -> AsyncGenerator[PendingEvent, None]:
        """What the group was handed and has not finished, in the order of the seqs; with `dead` only what
        is dead, or is not. Raises NotFound if there is no such group."""
        ref = group_ref(stream, group)
        self._trips.require(Facility.STREAMS)
        return listed(self._trips, ref, dead, timeout)

    async def redrive(self, stream: str, group: str, *seqs: int, timeout: float | None = None) -> None:
        """Hand these dead events out again, their deliveries counting anew. Raises NotFound, and does
        nothing, if one of them is not dead in this group; `discard` does so too."""
        op = Nack(group_ref(stream, group), dead_deliveries(seqs), retry_in=0)
        await end_dead(self._trips, op, timeout)

    async def discard(self, stream: str, group: str, *seqs: int, timeout: float | None = None) -> None:
        """The group is done with these dead events, as if they had been acked."""
        await end_dead(self._trips, Ack(group_ref(stream, group), dead_deliveries(seqs)), timeout)

    async def trim(
        self,
        stream: str,
        *,
        keep: int | None = None,
        first: int | None = None,
        force: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Trimmed:
        """Remove the oldest events: all but the newest `keep`, or those with seq < `first`.

        An event that some group has not finished is kept, and so are all after it; with `force` it is
        removed too, and counted in `dropped`. `Trimmed.first` is the first event that is left. `dry_run`:
        remove nothing, and say what would be, as far as nobody is at work meanwhile.
        """
        act = would_trim if dry_run else trim
        return await act(self._trips, stream_ref(stream), keep, first, force, timeout)

    async def drop(self, stream: str, *, timeout: float | None = None) -> bool:
        """Remove all events and groups; whether there was such a stream. Seqs are not used again."""
        return cast(bool, await self._do(DropStream(stream_ref(stream)), timeout))

    def consume(
        self,
        stream: str,
        *,
        group: str,
        consumer: str | None = None,
        lease: Duration = 30,
        start: Start = "now",
        max_deliveries: int = 5,
        create: bool = True,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: Duration = 0.5,
    ) -> AsyncGenerator[Delivery, None]:
        """Deliveries, one at a time, without end: `async for delivery in ...: async with delivery: ...`.

        See `Delivery` for the end of the block. An exception of the block goes on, so it ends the loop
        unless it is caught around the block. If the generator is closed before the block began, the
        delivery is given back, and does not count.

        consumer                who this is, for people; None = host and process
        start, max_deliveries   of the group, if it does not exist and `create` makes it
        poll                    the longest time between two looks

        A store that is not available is waited for; when it is closed, this ends. Raises NotFound if
        there is no such group (any more).
        """
        request = claim_request(stream, group, consumer, lease, 1)
        made = create_op(request.ref, start, max_deliveries) if create else None
        return subscription.consume(Source(self._trips, request, made, backoff, poll))

    def subscribe(
        self,
        stream: str,
        *,
        group: str,
        consumer: str | None = None,
        lease: Duration = 30,
        prefetch: int = 1,
        start: Start = "now",
        max_deliveries: int = 5,
        create: bool = True,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: Duration = 0.5,
    ) -> AsyncGenerator[Event, None]:
        """Events, without end, each acked when the next one is asked for. As `consume`, but simpler and
        weaker:

        - nothing extends the lease while you work at an event: be done within `lease`. If it was handed to
          somebody else meanwhile, LeaseLost is raised when you ask for the next;
        - a loop that ends by `break` looks like one that ends by an exception. So the event it ended at
          counts as failed: it is handed out again after the back-off, and is dead after `max_deliveries`.
          Close the generator (`contextlib.aclosing`), or that happens only when Python or the end of the
          lease does it;
        - `prefetch` events are claimed at once. Those not yet given out then are given back unharmed.
        """
        request = claim_request(stream, group, consumer, lease, prefetch)
        made = create_op(request.ref, start, max_deliveries) if create else None
        return subscription.subscribe(Source(self._trips, request, made, backoff, poll))

    async def _do(self, op: Op, timeout: float | None) -> OpResult:
        return (await self._trips.commit(Batch((op,)), timeout=timeout)).results[0]

    async def _end(self, op: Ack | Nack, deliveries: tuple[Delivery, ...], timeout: float | None) -> None:
        if len(deliveries) == 1:
            await deliveries[0].finish(Batch((op,)), timeout)
            return
        await self._do(op, timeout)
        for delivery in deliveries:
            delivery.ended = True
