"""House-keeping: one bounded sweep, and the counts."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.kv.applying import tombstone
from hive_state_core.kv.capturing import is_marked
from hive_state_core.kv.claiming import turn
from hive_state_core.kv.entities import Row, Torn
from hive_state_core.kv.keys import (
    ALARM,
    COUNT,
    DUE,
    EDGE,
    ENDED,
    EXPIRY,
    GONE,
    GRAVE,
    GROUP,
    MEMORY,
    QUEUE,
    RECORD,
    STREAM,
    TASK,
    after,
    decode,
    key_of,
    number,
    split,
    under,
    until,
)
from hive_state_core.kv.trip import Trip
from hive_state_core.model import (
    GroupImage,
    QueueImage,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskState,
)
from hive_state_core.spi import PEER, GroupStats, QueueStats, Retention, Stats, Swept

_PAGE = 256


class Sweep:
    """One round over all kinds, until `limit` rows were turned or removed."""

    def __init__(self, trip: Trip, limit: int, retention: Retention) -> None:
        self._trip = trip
        self._state = trip.after
        self._limit = limit
        self._left = limit
        self._keep = retention
        self._sinks = trip.head.control.sinks

    async def run(self) -> Swept:
        expired = await self._expire_records()
        tombstones = await self._remove_tombstones()
        commits = await self._remove_commits()
        leases, promoted = await self._turn_queues()
        return Swept(
            records_expired=expired,
            tombstones_removed=tombstones,
            commits_removed=commits,
            leases_expired=leases,
            tasks_promoted=promoted,
            tasks_removed=await self._remove_ended(),
            more=self._left <= 0,
        )

    async def _due(self, *table: str, keep: int | None = 0) -> Sequence[Row]:
        """The next rows of a table by instant that were kept for `keep` since; they use up the limit."""
        if keep is None or self._left <= 0:
            return ()
        rows = await self._state.range(*until(*table, instant=self._trip.at - keep), self._left)
        self._left -= len(rows)
        return rows

    async def _expire_records(self) -> int:
        rows = await self._due(EXPIRY)
        for key, _ in rows:
            record = await self._record_at(key)
            grave = tombstone(record, at=self._trip.at, version=self._trip.version)
            await self._state.put_record(record, grave)
        return len(rows)

    async def _remove_tombstones(self) -> int:
        """And Gones. None while a copy of what was deleted may still be on its way to a peer, or a sink has
        yet to be told."""
        if PEER in self._sinks:
            return 0
        removed = 0
        for key, _ in await self._due(GRAVE, keep=self._keep.tombstones):
            record = await self._record_at(key)
            if not await is_marked(self._state, self._sinks, key_of(record.ref)):
                await self._state.remove(record)
                removed += 1
        return removed + await self._remove_gones()

    async def _remove_gones(self) -> int:
        removed = 0
        for key, _ in await self._state.range(*under(GONE), max(self._left, 0)):
            if not await is_marked(self._state, self._sinks, key.split(b"\0", 1)[1]):
                self._state.put(key, None)
                self._left -= 1
                removed += 1
        return removed

    async def _record_at(self, key: bytes) -> RecordImage:
        record = await self._state.record(RecordRef(*split(key)[2:]))
        if record is None:
            raise Torn
        return record

    async def _remove_commits(self) -> int:
        rows = await self._due(MEMORY, keep=self._keep.commits)
        for key, _ in rows:
            memory = await self._state.commit(split(key)[2])
            if memory is None:
                raise Torn
            await self._state.remove(memory)
        return len(rows)

    async def _turn_queues(self) -> tuple[int, int]:
        """(leases taken away, tasks promoted)"""
        leases = promoted = 0
        for queue in await _queues_with_tasks(self._trip):
            if self._left <= 0:
                break
            turned = await turn(self._trip, queue, self._left)
            self._left -= len(turned)
            over = sum(task.state is TaskState.LEASED for task in turned)
            leases += over
            promoted += len(turned) - over
        return leases, promoted

    async def _remove_ended(self) -> int:
        keep = self._keep
        removed = await self._remove_tasks(TaskState.COMPLETED, keep.completed)
        removed += await self._remove_tasks(TaskState.CANCELLED, keep.cancelled)
        return removed + await self._remove_tasks(TaskState.DEAD, keep.dead)

    async def _remove_tasks(self, ended: TaskState, keep: int | None) -> int:
        """Those that must stay do not use up the limit: they would hide what is behind them."""
        removed = 0
        if keep is None:
            return removed
        start, stop = until(ENDED, ended.value, instant=self._trip.at - keep)
        while self._left > 0 and (rows := await self._state.range(start, stop, _PAGE)):
            start = after(rows[-1][0])
            for key, _ in rows:
                if self._left > 0:
                    removed += await self._remove_task(key)
        return removed

    async def _remove_task(self, key: bytes) -> bool:
        """False: one of its children has a parent that is not completed yet."""
        task = await self._state.task_at(key)
        edges = await self._state.range(*under(EDGE, task.ref.id))
        for edge, _ in edges:
            if (await self._state.task_at(edge)).unmet:
                return False
        for edge, _ in edges:
            self._state.unlink(task.ref.id, split(edge)[2])
        for parent in task.parents:
            self._state.unlink(parent, task.ref.id)
        await self._state.remove(task)
        self._left -= 1
        return True


async def stats(trip: Trip) -> Stats:
    """From counters, so the cost is that of collections, queues, streams and groups, not of their content."""
    records: dict[str, int] = {}
    states: dict[str, dict[TaskState, int]] = {}
    for key, value in await trip.after.range(*under(COUNT)):
        _, kind, *name = split(key)
        if kind == RECORD:
            records[name[0]] = int(value)
        else:
            states.setdefault(name[0], {})[TaskState(name[1])] = int(value)
    for _, value in await trip.after.range(*under(QUEUE)):
        states.setdefault(decode(value, QueueImage).ref.queue, {})
    return Stats(
        at=trip.at,
        records=records,
        queues={queue: await _queue_stats(trip, queue, counts) for queue, counts in states.items()},
        streams=await _streams(trip),
        groups=await _groups(trip),
        size_bytes=None,
        backend={},
    )


async def _queue_stats(trip: Trip, queue: str, states: dict[TaskState, int]) -> QueueStats:
    due = await trip.after.range(*until(DUE, queue, instant=trip.at), 1)
    oldest = number(split(due[0][0])[2]) if due else None
    rung = await trip.after.range(*until(ALARM, queue, instant=trip.at))
    over = [key for key, _ in rung if (await trip.after.task_at(key)).state is TaskState.LEASED]
    return QueueStats(
        paused=await trip.after.paused(queue),
        states=states,
        oldest_ready_at=oldest,
        leases_over=len(over),
    )


async def _streams(trip: Trip) -> dict[str, int]:
    """How many events each of them has."""
    rows = await trip.after.range(*under(STREAM))
    streams = [decode(data, StreamImage) for _, data in rows]
    return {each.ref.stream: each.last - each.first + 1 for each in streams if not each.dropped}


async def _groups(trip: Trip) -> dict[tuple[str, str], GroupStats]:
    rows = await trip.after.range(*under(GROUP))
    groups = [decode(data, GroupImage) for _, data in rows]
    return {(each.ref.stream, each.ref.group): await _group_stats(trip, each) for each in groups}


async def _group_stats(trip: Trip, group: GroupImage) -> GroupStats:
    stream = await trip.after.stream(StreamRef(group.ref.stream))
    first, last = (1, 0) if stream is None else (stream.first, stream.last)
    oldest = await trip.after.event(group.ref.stream, max(first, await trip.after.unfinished(group)))
    return GroupStats(
        position=group.position,
        lag=last - max(group.position, first - 1),
        pending=group.pending,
        dead=group.dead,
        oldest_at=None if oldest is None else oldest.at,
    )


async def _queues_with_tasks(trip: Trip) -> list[str]:
    rows = await trip.after.range(*under(COUNT, TASK))
    return list(dict.fromkeys(split(key)[2] for key, _ in rows))
