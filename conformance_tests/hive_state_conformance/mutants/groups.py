"""Mutants that get consumer groups wrong, and what they are handed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.limits import ATTEMPTS, CLAIM
from hive_state_core.model import GroupImage, GroupRef, PendingImage
from hive_state_core.spi import (
    Ack,
    Batch,
    Claimed,
    ClaimedEvents,
    ClaimEvents,
    ClaimRequest,
    ClaimTasks,
    CreateGroup,
    Delivery,
    DropGroup,
    ExtendDeliveries,
    Nack,
    Op,
    Page,
    Reply,
    Scan,
    ScanImage,
    Seek,
)


class CreateMutant(Mutant):
    """Changes every CreateGroup."""

    async def op(self, op: Op) -> Op:
        return self.create(op) if isinstance(op, CreateGroup) else op

    def create(self, create: CreateGroup) -> CreateGroup:
        raise NotImplementedError


@mutant("group.create.begins_behind_its_position")
class PositionIsIncluded(CreateMutant):
    def create(self, create: CreateGroup) -> CreateGroup:
        return replace(create, position=create.position and create.position - 1)


@mutant("events.group.misses_nothing")
class NowIsTheBeginning(CreateMutant):
    def create(self, create: CreateGroup) -> CreateGroup:
        return replace(create, position=create.position or 0)


@mutant("delivery.dead.by_expiry")
class HandsOutForEver(CreateMutant):
    def create(self, create: CreateGroup) -> CreateGroup:
        return replace(create, max_deliveries=ATTEMPTS)


@mutant("events.consume.ends")
class HandsOutOnceMore(CreateMutant):
    def create(self, create: CreateGroup) -> CreateGroup:
        return replace(create, max_deliveries=create.max_deliveries + 1)


@mutant("group.create.twice")
class CreateReplaces(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, CreateGroup):
            await self.right.commit([Batch((DropGroup(op.ref),))], uuid4().hex)
        return op


@mutant("group.seek")
class SeekIncludesItsPosition(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, position=op.position - 1) if isinstance(op, Seek) else op


@mutant("group.drop")
class DropEmptiesTheGroup(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, DropGroup) or not (await self.right.read([op.ref])).results[0]:
            return op
        return Seek(op.ref, 0)


@mutant("group.scan")
class TakesTheDeadForPending(Mutant):
    def image(self, image: ScanImage) -> ScanImage:
        if not isinstance(image, GroupImage):
            return image
        return replace(image, pending=image.pending + image.dead, dead=0)


@mutant("group.survives_reopen")
class ForgetsDeliveriesAtOpen(Mutant):
    """As a consumer's own list of what it holds does."""

    async def open(self) -> None:
        await super().open()
        streams = await self.right.scan(Scan(kind="stream"))
        for stream in streams.items:
            name = cast(Any, stream).ref.stream
            for image in (await self.right.scan(Scan(kind="group", within=name))).items:
                seek = Seek(cast(Any, image).ref, cast(GroupImage, image).position)
                await self.right.commit([Batch((seek,))], uuid4().hex)


# Claims


class ClaimMutant(Mutant):
    """Changes what claims of events find."""

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await super().claim(requests, trip_id)
        found = zip(requests, reply.results, strict=True)
        return replace(
            reply,
            results=[
                self.claimed(request, each, reply.at)
                if isinstance(request, ClaimEvents) and isinstance(each, ClaimedEvents)
                else each
                for request, each in found
            ],
        )

    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, deliveries=tuple(self.delivery(request, each) for each in found.deliveries))

    def delivery(self, request: ClaimEvents, delivery: Delivery) -> Delivery:
        raise NotImplementedError


@mutant("group.missing")
class MissingGroupsAreEmpty(ClaimMutant):
    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, missing=False)


@mutant("group.claim.again_before_new")
class NewComesFirst(ClaimMutant):
    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, deliveries=tuple(sorted(found.deliveries, key=lambda each: each.delivery)))


@mutant("group.claim.next_due")
class SaysToWaitTooLongForEvents(ClaimMutant):
    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, next_due_in=3_600_000)


@mutant("group.claim.large_ones_end_early")
class SaysNothingOfTheRest(ClaimMutant):
    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, next_due_in=None)


@mutant("delivery.next_due_of_the_dead")
class WaitsForTheDead(ClaimMutant):
    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        return replace(found, next_due_in=0)


@mutant("group.claim.each_event_once")
class RequestsOfOneTripShare(ClaimMutant):
    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        self._served: dict[GroupRef, tuple[Delivery, ...]] = {}
        return await super().claim(requests, trip_id)

    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        first = self._served.setdefault(request.ref, found.deliveries)
        return replace(found, deliveries=first)


@mutant("group.claim.race")
class HandsOutWhatIsHeld(ClaimMutant):
    """If it finds nothing, it gives what it gave last."""

    def claimed(self, request: ClaimEvents, found: ClaimedEvents, at: int) -> ClaimedEvents:
        last = self.memory.pop(request.ref, ())
        if not found.deliveries:
            return replace(found, deliveries=last)
        self.memory[request.ref] = found.deliveries
        return found


@mutant("group.claim.limit", "stream.trim.keeps_the_unfinished")
class IgnoresTheLimitOfEvents(Mutant):
    def request(self, request: ClaimRequest) -> ClaimRequest:
        return replace(request, limit=CLAIM) if isinstance(request, ClaimEvents) else request


@mutant("group.claim.with_tasks")
class ServesOneKindATrip(ClaimMutant):
    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        if {type(request) for request in requests} == {ClaimTasks, ClaimEvents}:
            requests = [
                replace(each, limit=0) if isinstance(each, ClaimEvents) else each for each in requests
            ]
        return await self.right.claim(requests, trip_id)


@mutant("delivery.round_trip")
class LeasesCountFromTheEvent(ClaimMutant):
    def delivery(self, request: ClaimEvents, delivery: Delivery) -> Delivery:
        return replace(delivery, until=delivery.event.at + request.lease)


@mutant("delivery.boundary")
class LeasesOfEventsEndEarly(Mutant):
    def request(self, request: ClaimRequest) -> ClaimRequest:
        return replace(request, lease=request.lease - 1) if isinstance(request, ClaimEvents) else request


@mutant("delivery.tokens_grow")
class TokensCountDeliveries(ClaimMutant):
    """The token is the number of the delivery, as in a list of pending entries."""

    def delivery(self, request: ClaimEvents, delivery: Delivery) -> Delivery:
        self.memory[request.ref, delivery.event.seq, delivery.delivery] = delivery.token
        return replace(delivery, token=delivery.delivery)

    async def op(self, op: Op) -> Op:
        if not isinstance(op, Ack | Nack | ExtendDeliveries):
            return op
        named = tuple((seq, self.memory.get((op.ref, seq, token), token)) for seq, token in op.deliveries)
        return replace(op, deliveries=named)


@mutant("delivery.scan")
class SortsNumbersAsText(Mutant):
    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        page = await super().scan(query, fresh)
        if query.kind != "pending":
            return page
        images = cast("Sequence[PendingImage]", page.items)
        by_text = sorted(images, key=lambda image: str(image.ref.seq), reverse=query.reverse)
        return replace(page, items=by_text)


@mutant("delivery.scan")
class ListsAllPages(Mutant):
    """Whether dead or not."""

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await super().scan(replace(query, dead=None), fresh)
