"""A claim of events: deliveries that are due again, then what the group was not handed yet."""

from __future__ import annotations

from msgspec.structs import replace

from hive_state_core.kv import deliveries
from hive_state_core.kv.entities import Torn
from hive_state_core.kv.keys import EVENT, REDELIVER, decode, join, number, split, under, until
from hive_state_core.kv.room import Room
from hive_state_core.kv.trip import Trip
from hive_state_core.model import EventImage, GroupImage, PendingImage, PendingRef, StreamRef
from hive_state_core.spi import ClaimedEvents, ClaimEvents, Delivery

_PAGE = 64


async def deliver(trip: Trip, request: ClaimEvents, room: Room) -> ClaimedEvents:
    group = await trip.after.group(request.ref)
    if group is None:
        return ClaimedEvents((), missing=True)
    handing = _Handing(trip, request, group, room)
    await handing.hand_out_again()
    await handing.hand_out_new()
    await handing.store()
    found = tuple(handing.found)
    if len(found) == request.limit:
        return ClaimedEvents(found)
    return ClaimedEvents(found, next_due_in=0 if room.full else await _next_due_in(trip, request))


class _Handing:
    """What one request takes from its group, in seq order."""

    def __init__(self, trip: Trip, request: ClaimEvents, group: GroupImage, room: Room) -> None:
        self.found: list[Delivery] = []
        self._trip = trip
        self._request = request
        self._group = group
        self._room = room
        self._position = group.position
        self._changes: list[deliveries.Change] = []

    async def hand_out_again(self) -> None:
        """Deliveries that are due; those that were handed out too often already become dead."""
        ref = self._request.ref
        due = await self._trip.after.range(*until(REDELIVER, ref.stream, ref.group, instant=self._trip.at))
        for seq in sorted(number(split(key)[-1]) for key, _ in due):
            if self._enough():
                return
            pending = await self._trip.after.pending(PendingRef(ref.stream, ref.group, seq))
            event = await self._trip.after.event(ref.stream, seq)
            if pending is None or event is None:
                raise Torn
            if pending.deliveries >= self._group.max_deliveries:
                dead = deliveries.used_up(pending, version=self._trip.version)
                self._changes.append((pending, dead))
            else:
                self._hand_out(pending, event)

    async def hand_out_new(self) -> None:
        """Events behind the position, which moves along."""
        stream = self._request.ref.stream
        head = await self._trip.after.stream(StreamRef(stream))
        while head is not None and self._position < head.last and not self._enough():
            rows = await self._trip.after.range(
                join(EVENT, stream, self._position + 1), join(EVENT, stream, head.last + 1), self._page()
            )
            for _, data in rows:
                if self._enough():
                    return
                event = decode(data, EventImage)
                self._hand_out(None, event)
                self._position = event.seq
            if not rows:  # all of them were trimmed
                return

    def _page(self) -> int:
        return min(_PAGE, self._request.limit - len(self.found))

    def _enough(self) -> bool:
        return len(self.found) == self._request.limit or self._room.full

    def _hand_out(self, old: PendingImage | None, event: EventImage) -> None:
        trip = self._trip
        new = deliveries.handed(old, event, self._request, at=trip.at, version=trip.version)
        self._changes.append((old, new))
        self._room.take(event.body)
        self.found.append(Delivery(event, new.token, new.deliveries, new.until))

    async def store(self) -> None:
        if self._changes:
            moved = replace(self._group, position=self._position)
            await deliveries.store(self._trip.after, moved, self._changes, version=self._trip.version)


async def _next_due_in(trip: Trip, request: ClaimEvents) -> int | None:
    """How long it takes until a delivery of the group is due."""
    first = await trip.after.range(*under(REDELIVER, request.ref.stream, request.ref.group), 1)
    return max(0, number(split(first[0][0])[3]) - trip.at) if first else None
