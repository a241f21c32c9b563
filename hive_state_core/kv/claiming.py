"""What becomes of a claim: first what time has brought about in the queue, then the tasks are handed out."""

from __future__ import annotations

from hive_state_core import transitions
from hive_state_core.errors import Unsupported
from hive_state_core.features import Facility
from hive_state_core.kv.keys import ALARM, READY, after, number, split, under, until
from hive_state_core.kv.trip import Trip
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import TaskImage, TaskState
from hive_state_core.spi import Claimed, ClaimedTasks, ClaimRequest, ClaimTasks

ALARMS = 256
"""Tasks of a queue that one claim turns, at most."""

_PAGE = 16


async def claim(trip: Trip, requests: list[ClaimTasks]) -> list[Claimed]:
    """Each request takes what the earlier ones left."""
    for queue in sorted({request.queue for request in requests}):
        await turn(trip, queue, ALARMS)
    return [await _take(trip, request) for request in requests]


def of_tasks(request: ClaimRequest) -> ClaimTasks:
    if isinstance(request, ClaimTasks):
        return request
    raise Unsupported("this store does not offer streams", feature=Facility.STREAMS.value)


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


async def _take(trip: Trip, request: ClaimTasks) -> ClaimedTasks:
    if await trip.after.paused(request.queue):
        return ClaimedTasks(())
    ready, cut_short = await _choose(trip, request)
    tasks = []
    for task in ready:
        claimed = transitions.claimed(task, request, at=trip.at, version=trip.version)
        await trip.after.put_task(task, claimed)
        tasks.append(claimed)
    if len(tasks) == request.limit:
        return ClaimedTasks(tuple(tasks))
    return ClaimedTasks(tuple(tasks), trip.at if cut_short else await _next_due(trip, request.queue))


async def _choose(trip: Trip, request: ClaimTasks) -> tuple[list[TaskImage], bool]:
    """The first ready tasks whose requirements are covered; whether the size of the reply ended it."""
    chosen: list[TaskImage] = []
    size = 0
    start, stop = under(READY, request.queue)
    while rows := await trip.after.range(start, stop, max(_PAGE, request.limit)):
        start = after(rows[-1][0])
        for key, _ in rows:
            task = await trip.after.task_at(key)
            if not request.capabilities.issuperset(task.requires):
                continue
            chosen.append(task)
            size += len(task.payload)
            if len(chosen) == request.limit or size > REPLY_BYTES:
                return chosen, size > REPLY_BYTES
    return chosen, False


async def _next_due(trip: Trip, queue: str) -> int | None:
    """The next instant at which time brings something about; what is over already is the trip's."""
    first = await trip.after.range(*under(ALARM, queue), 1)
    return max(trip.at, number(split(first[0][0])[2])) if first else None
