"""`claim` of events: redeliveries first, then what the group was not handed yet."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.spi import LEASE_EXPIRED, ClaimedEvents, ClaimEvents, Delivery
from hive_state_sqlite import rows, statements
from hive_state_sqlite.trip import Trip

TURNED_AT_ONCE = 200
"""Used-up deliveries that one claim makes dead, at most."""


def claim(trip: Trip, request: ClaimEvents, room: int) -> tuple[ClaimedEvents, int]:
    """(what the request gets, bytes of it); nothing that would pass `room` bytes but the first event."""
    ref = request.ref
    group = (trip.ns, ref.stream, ref.group)
    row = trip.db.execute(statements.GROUP_READ, group).fetchone()
    if row is None:
        return ClaimedEvents((), missing=True), 0
    _, position, max_deliveries = row
    chosen = _choose(trip, request, position, max_deliveries)
    through = chosen[-1][0] if len(chosen) == request.limit else position
    exhaust = (*group, trip.at, max_deliveries, trip.version, TURNED_AT_ONCE, LEASE_EXPIRED, through)
    dead = trip.db.execute(statements.PENDING_EXHAUST, exhaust).rowcount
    taken, size = _within(chosen, room)
    deliveries = tuple([_delivery(trip, request, row) for row in taken])
    if taken or dead:
        _hand_out(trip, request, deliveries, position)
    if len(deliveries) == request.limit:
        return ClaimedEvents(deliveries), size
    more = len(taken) < len(chosen) or dead == TURNED_AT_ONCE
    (due,) = trip.db.execute(statements.PENDING_NEXT_DUE, group).fetchone()
    due_in = None if due is None else max(0, due - trip.at)
    return ClaimedEvents(deliveries, next_due_in=0 if more else due_in), size


def _choose(trip: Trip, request: ClaimEvents, position: int, max_deliveries: int) -> list[rows.Row]:
    given = {
        "ns": trip.ns,
        "stream": request.ref.stream,
        "grp": request.ref.group,
        "at": trip.at,
        "max": max_deliveries,
        "position": position,
        "limit": request.limit,
    }
    return trip.db.execute(statements.EVENTS_CLAIM, given).fetchall()


def _hand_out(trip: Trip, request: ClaimEvents, deliveries: Sequence[Delivery], position: int) -> None:
    """Write down who has them; `position`: how far the group was."""
    group, consumer = (trip.ns, request.ref.stream, request.ref.group), request.consumer
    out = [
        (*group, each.event.seq, trip.version, each.delivery, consumer, each.until, LEASE_EXPIRED)
        for each in deliveries
    ]
    trip.db.executemany(statements.PENDING_HAND_OUT, out)
    position = max([position, *[each.event.seq for each in deliveries]])
    trip.changed = True
    trip.db.execute(statements.GROUP_ADVANCE, (*group, trip.version, position))


def _within(chosen: list[rows.Row], room: int) -> tuple[list[rows.Row], int]:
    size = 0
    for count, row in enumerate(chosen):
        if size >= room:
            return chosen[:count], size
        size += len(row[2])
    return chosen, size


def _delivery(trip: Trip, request: ClaimEvents, row: rows.Row) -> Delivery:
    event = rows.event_image(request.ref.stream, row)
    return Delivery(event, trip.version, row[5] + 1, trip.at + request.lease)
