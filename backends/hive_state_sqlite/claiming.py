"""`claim`: take over-due leases away, promote what is due, hand out what is ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hive_state_core import transitions
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import TaskImage
from hive_state_core.spi import Claimed, ClaimedTasks, ClaimRequest, ClaimTasks
from hive_state_sqlite import delivering, rows, statements
from hive_state_sqlite.trip import Trip

TURNED_AT_ONCE = 200
"""Leases taken away, and tasks promoted, in one queue by one claim."""


def claim(trip: Trip, requests: Sequence[ClaimRequest]) -> list[Claimed]:
    """One result for each request, served in their order."""
    queues: dict[str, int] = {}
    for request in requests:
        if isinstance(request, ClaimTasks):
            queues[request.queue] = queues.get(request.queue, 0) + request.limit
    supplies = {queue: _Supply(trip, queue, wanted) for queue, wanted in queues.items()}
    claimed: list[Claimed] = []
    room = REPLY_BYTES
    for request in requests:
        if isinstance(request, ClaimTasks):
            claimed.append(supplies[request.queue].serve(request))
        else:
            events, size = delivering.claim(trip, request, room)
            room -= size
            claimed.append(events)
    leased = [task for each in claimed if isinstance(each, ClaimedTasks) for task in each.tasks]
    if leased:
        trip.changed = True
        trip.executemany(statements.TASK_LEASE, [rows.task_lease_row(trip.ns, task) for task in leased])
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
    """The ready tasks of one queue, each lane of them handed out from the front."""

    def __init__(self, trip: Trip, queue: str, wanted: int) -> None:
        self._trip = trip
        self._queue = queue
        self._wanted = wanted
        self._bytes = 0
        self._lanes: dict[str, deque[TaskImage]] = {}
        self._more = False  # more may be there than was looked at: ask again soon
        outlook = trip.db.execute(statements.QUEUE_OUTLOOK, (trip.ns, queue)).fetchone()
        self._paused, lease_ends, due_at, other_lane = outlook
        turns = [instant for instant in (lease_ends, due_at) if instant is not None]
        self._next_turn: int | None = min(turns, default=None)
        self._names: list[tuple[str, frozenset[str]]] = [("", frozenset())]
        if self._next_turn is not None and self._next_turn <= trip.at:
            self._more = max(turn_queue(trip, queue, TURNED_AT_ONCE)) == TURNED_AT_ONCE
            self._next_turn = self._look_ahead()
            other_lane = ""  # what was turned may be of any lane
        if other_lane is not None and not self._paused:
            self._names = self._lane_names()

    def serve(self, request: ClaimTasks) -> ClaimedTasks:
        trip = self._trip
        if self._paused:
            return ClaimedTasks(())
        taken = self._take(request)
        leased = [transitions.claimed(task, request, at=trip.at, version=trip.version) for task in taken]
        if leased:
            lease_ends = trip.at + request.lease
            self._next_turn = lease_ends if self._next_turn is None else min(self._next_turn, lease_ends)
        return ClaimedTasks(tuple(leased), None if len(taken) == request.limit else self._next_due_in())

    def _take(self, request: ClaimTasks) -> list[TaskImage]:
        """The first of all lanes that the request's capabilities cover, until values pass REPLY_BYTES."""
        lanes = [self._lane(name) for name, required in self._names if required <= request.capabilities]
        taken: list[TaskImage] = []
        while len(taken) < request.limit:
            heads = [lane for lane in lanes if lane]
            if not heads:
                break
            if self._bytes > REPLY_BYTES:
                self._more = True
                break
            task = min(heads, key=_place).popleft()
            self._bytes += len(task.payload)
            taken.append(task)
        return taken

    def _lane(self, name: str) -> deque[TaskImage]:
        """Its next tasks, fetched when a request covers it first."""
        if name not in self._lanes:
            lane = self._lanes[name] = deque()
            size, trip = 0, self._trip
            for row in trip.db.execute(statements.TASKS_READY, (trip.ns, self._queue, name, self._wanted)):
                lane.append(rows.task_image(row))
                size += len(lane[-1].payload)
                if size > REPLY_BYTES:
                    self._more = True
                    break
        return self._lanes[name]

    def _lane_names(self) -> list[tuple[str, frozenset[str]]]:
        """Lanes that have ready tasks, with what they require."""
        names = [""]
        while True:
            arguments = (self._trip.ns, self._queue, names[-1])
            row = self._trip.db.execute(statements.TASKS_NEXT_LANE, arguments).fetchone()
            if row is None:
                return [(name, rows.load_lane(name)) for name in names]
            names.append(row[0])

    def _next_due_in(self) -> int | None:
        if self._more:
            return 0
        return None if self._next_turn is None else max(0, self._next_turn - self._trip.at)

    def _look_ahead(self) -> int | None:
        arguments = (self._trip.ns, self._queue)
        _, lease_ends, due_at, _ = self._trip.db.execute(statements.QUEUE_OUTLOOK, arguments).fetchone()
        return min([instant for instant in (lease_ends, due_at) if instant is not None], default=None)


def _place(lane: deque[TaskImage]) -> tuple[int, int, int]:
    task = lane[0]
    return task.priority, task.due_at, task.order
