"""What becomes of a claim of tasks: first what time has brought about in the queue, then they are handed out.

Events are handed out by `delivering`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core import transitions
from hive_state_core.kv.delivering import deliver
from hive_state_core.kv.keys import ALARM, READY, after, number, split, under, until
from hive_state_core.kv.room import Room
from hive_state_core.kv.trip import Trip
from hive_state_core.model import TaskImage, TaskState
from hive_state_core.spi import Claimed, ClaimedTasks, ClaimRequest, ClaimTasks

ALARMS = 256
"""Tasks of a queue that one claim turns, at most."""

_PAGE = 16


async def claim(trip: Trip, requests: Sequence[ClaimRequest]) -> list[Claimed]:
    """Each request takes what the earlier ones left."""
    for queue in sorted({request.queue for request in requests if isinstance(request, ClaimTasks)}):
        await turn(trip, queue, ALARMS)
    room = Room()
    return [await _serve(trip, request, room) for request in requests]


async def _serve(trip: Trip, request: ClaimRequest, room: Room) -> Claimed:
    if isinstance(request, ClaimTasks):
        return await _take(trip, request, room)
    return await deliver(trip, request, room)


async def turn(trip: Trip, queue: str, limit: int) -> list[TaskImage]:
    """Take away up to `limit` leases that are over, and promote tasks that are due, earliest first.
    The tasks as they were before."""
    turned = []
    for key, _ in await trip.after.range(*until(ALARM, queue, instant=trip.at), limit):
        task = await trip.after.task_at(key)
        change = transitions.expired if task.state is TaskState.LEASED else transitions.promoted
        await trip.after.put_task(task, change(task, at=trip.at, version=trip.version))
        turned.append(task)
    return turned


async def _take(trip: Trip, request: ClaimTasks, room: Room) -> ClaimedTasks:
    if await trip.after.paused(request.queue):
        return ClaimedTasks(())
    tasks = []
    for task in await _choose(trip, request, room):
        claimed = transitions.claimed(task, request, at=trip.at, version=trip.version)
        await trip.after.put_task(task, claimed)
        tasks.append(claimed)
    if len(tasks) == request.limit:
        return ClaimedTasks(tuple(tasks))
    return ClaimedTasks(tuple(tasks), 0 if room.full else await _next_due_in(trip, request.queue))


async def _choose(trip: Trip, request: ClaimTasks, room: Room) -> list[TaskImage]:
    """The first ready tasks whose requirements are covered, as long as there is room."""
    chosen: list[TaskImage] = []
    start, stop = under(READY, request.queue)
    while not room.full and (rows := await trip.after.range(start, stop, max(_PAGE, request.limit))):
        start = after(rows[-1][0])
        for key, _ in rows:
            task = await trip.after.task_at(key)
            if not request.capabilities.issuperset(task.requires):
                continue
            chosen.append(task)
            room.take(task.payload)
            if len(chosen) == request.limit or room.full:
                return chosen
    return chosen


async def _next_due_in(trip: Trip, queue: str) -> int | None:
    """How long it takes until time brings something about."""
    first = await trip.after.range(*under(ALARM, queue), 1)
    return max(0, number(split(first[0][0])[2]) - trip.at) if first else None
