"""`claim`: take over-due leases away, promote what is due, hand out what is ready."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core import transitions
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import TaskImage
from hive_state_core.spi import ClaimedTasks, ClaimTasks
from hive_state_sqlite import rows, statements
from hive_state_sqlite.trip import Trip

TURNED_AT_ONCE = 200
"""Leases taken away, and tasks promoted, in one queue by one claim."""


def claim(trip: Trip, requests: Sequence[ClaimTasks]) -> list[ClaimedTasks]:
    """One result for each request, served in their order."""
    queues = {request.queue: 0 for request in requests}
    for request in requests:
        queues[request.queue] += request.limit
    supplies = {queue: _Supply(trip, queue, wanted) for queue, wanted in queues.items()}
    claimed = [supplies[request.queue].serve(request) for request in requests]
    trip.update_tasks([task for each in claimed for task in each.tasks])
    return claimed


def turn_queue(trip: Trip, queue: str, limit: int) -> tuple[int, int]:
    """(leases taken away, tasks promoted) in one queue, at most `limit` of each."""
    overdue = trip.db.execute(statements.TASKS_OVERDUE, (trip.ns, queue, trip.at, limit)).fetchall()
    trip.update_tasks(
        [transitions.expired(rows.task_image(row), at=trip.at, version=trip.version) for row in overdue]
    )
    promotion = (trip.ns, queue, trip.at, trip.version, limit)
    promoted = trip.db.execute(statements.TASKS_PROMOTE, promotion).rowcount
    trip.changed = trip.changed or promoted > 0
    return len(overdue), promoted


class _Supply:
    """The ready tasks of one queue, handed out from the front."""

    def __init__(self, trip: Trip, queue: str, wanted: int) -> None:
        self._trip = trip
        self._queue = queue
        self._ready: list[TaskImage] = []
        self._next = 0
        self._more = False  # more may be there than was looked at: ask again soon
        paused = trip.db.execute(statements.QUEUE_READ, (trip.ns, queue)).fetchone()
        self._paused = paused is not None and bool(paused[1])
        if self._paused:
            return
        self._more = max(turn_queue(trip, queue, TURNED_AT_ONCE)) == TURNED_AT_ONCE
        self._fetch(wanted)

    def serve(self, request: ClaimTasks) -> ClaimedTasks:
        trip = self._trip
        taken = self._ready[self._next : self._next + request.limit]
        self._next += len(taken)
        leased = [transitions.claimed(task, request, at=trip.at, version=trip.version) for task in taken]
        return ClaimedTasks(tuple(leased), None if len(taken) == request.limit else self._next_due())

    def _fetch(self, wanted: int) -> None:
        """Up to `wanted` tasks, fewer once their payloads pass REPLY_BYTES: the rest stays ready."""
        trip, size = self._trip, 0
        for row in trip.db.execute(statements.TASKS_READY, (trip.ns, self._queue, wanted)):
            task = rows.task_image(row)
            self._ready.append(task)
            size += len(task.payload)
            if size > REPLY_BYTES:
                self._more = True
                break

    def _next_due(self) -> int | None:
        if self._paused:
            return None
        if self._more:
            return self._trip.at
        (due,) = self._trip.db.execute(statements.TASKS_NEXT_DUE, (self._trip.ns, self._queue)).fetchone()
        return None if due is None else int(due)
