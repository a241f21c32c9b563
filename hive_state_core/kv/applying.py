"""The operations of a batch, one method each; those on streams and groups are in `streams`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_core import transitions
from hive_state_core.kv.entities import Entities
from hive_state_core.kv.keys import EDGE, split, under
from hive_state_core.kv.refusal import Refusal
from hive_state_core.kv.streams import Streams
from hive_state_core.kv.trip import Trip
from hive_state_core.model import (
    LIVE,
    QueueImage,
    RecordImage,
    RecordRef,
    TaskImage,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import (
    KEEP_TTL,
    Cancel,
    Complete,
    Delete,
    Enqueue,
    Enqueued,
    Extend,
    Extended,
    Fail,
    Op,
    OpResult,
    Prioritize,
    Put,
    Reason,
    Redrive,
    Release,
    SetPaused,
    Take,
    Touch,
)


def present(record: RecordImage | None, at: int) -> RecordImage | None:
    """The record, unless it is a tombstone or expired."""
    if record is None or record.value is None:
        return None
    return record if record.expires_at is None or record.expires_at > at else None


def tombstone(record: RecordImage, *, at: int, version: int) -> RecordImage:
    """What a deleted record leaves behind until a sweep."""
    return replace(record, version=version, value=None, raw=False, index=(), updated_at=at, expires_at=None)


class Applying:
    """The operations of one batch, applied one after the other to `state`."""

    def __init__(self, trip: Trip) -> None:
        self.state: Entities = trip.after.fork()
        self._trip = trip
        self._at = trip.at
        self._version = trip.version
        self._streams = Streams(trip, self.state)

    async def apply(self, op: Op) -> OpResult:
        """The operation's result. Raises Refusal."""
        match op:
            case Put():
                await self._put(op)
                return None
            case Delete():
                return await self._delete(op)
            case Touch():
                return await self._touch(op)
            case Enqueue():
                return await self._enqueue(op)
            case Complete():
                await self._complete(op)
                return None
            case Fail():
                task = await self._leased(op)
                failed = transitions.failed(task, op, at=self._at, version=self._version)
                return await self._turn(task, failed)
            case Release():
                task = await self._leased(op)
                released = transitions.released(task, op, at=self._at, version=self._version)
                return await self._turn(task, released)
            case Extend():
                return await self._extend(op)
            case Cancel():
                return await self._cancel(op)
            case Redrive():
                return await self._redrive(op)
            case Take():
                return await self._take(op)
            case Prioritize():
                return await self._prioritize(op)
            case SetPaused():
                await self._set_paused(op)
                return None
            case _:
                return await self._streams.apply(op)

    # --- records

    async def _put(self, op: Put) -> None:
        found = await self.state.record(op.ref)
        old = present(found, self._at)
        if op.ttl == KEEP_TTL:
            expires_at = None if old is None else old.expires_at
        else:
            expires_at = self._deadline(op.ttl)
        record = RecordImage(
            ref=op.ref,
            version=self._version,
            created_version=self._version if old is None else old.created_version,
            value=op.value,
            raw=op.raw,
            index=op.index,
            created_at=self._at if old is None else old.created_at,
            updated_at=self._at,
            expires_at=expires_at,
        )
        await self.state.put_record(found, record)

    async def _delete(self, op: Delete) -> bool:
        record = await self._present(op.ref)
        if record is not None:
            await self.state.put_record(record, tombstone(record, at=self._at, version=self._version))
        return record is not None

    async def _touch(self, op: Touch) -> bool:
        record = await self._present(op.ref)
        if record is not None:
            expires_at = self._deadline(op.ttl)
            touched = replace(record, version=self._version, updated_at=self._at, expires_at=expires_at)
            await self.state.put_record(record, touched)
        return record is not None

    async def _present(self, ref: RecordRef) -> RecordImage | None:
        return present(await self.state.record(ref), self._at)

    def _deadline(self, ttl: int | None) -> int | None:
        return None if ttl is None else self._at + ttl

    # --- tasks

    async def _enqueue(self, op: Enqueue) -> Enqueued:
        if await self.state.task(op.ref.id) is not None:
            return Enqueued(op.ref.id, created=False)
        holder = await self.state.holder(op.queue, op.dedupe_key)
        if holder is not None:
            return Enqueued(holder, created=False)
        unmet = await self._unmet(op.depends_on)
        order = self._trip.next_order()
        task = transitions.enqueued(op, at=self._at, version=self._version, order=order, unmet=len(unmet))
        await self.state.put_task(None, task)
        for parent in unmet:
            self.state.link(parent, op.ref.id)
        return Enqueued(op.ref.id, created=True)

    async def _unmet(self, parents: Sequence[str]) -> list[str]:
        """Those that are not completed."""
        unmet = []
        for parent in parents:
            task = await self.state.task(parent)
            if task is None:
                raise Refusal(Reason.MISSING, TaskRef(parent))
            if task.state is not TaskState.COMPLETED:
                unmet.append(parent)
        return unmet

    async def _complete(self, op: Complete) -> None:
        task = await self._leased(op)
        await self._turn(task, transitions.completed(task, op, at=self._at, version=self._version))
        await self._release_children(op.ref.id)

    async def _release_children(self, parent: str) -> None:
        """Only tasks that still count this parent have an edge from it."""
        for edge, _ in await self.state.range(*under(EDGE, parent)):
            child = await self.state.task_at(edge)
            freed = transitions.parent_completed(child, at=self._at, version=self._version)
            await self.state.put_task(child, freed)
            self.state.unlink(parent, split(edge)[-1])

    async def _extend(self, op: Extend) -> Extended:
        task = await self._leased(op)
        extended = transitions.extended(task, op, at=self._at, version=self._version)
        await self._turn(task, extended)
        return Extended(extended.lease_until or 0, extended.cancel_requested)

    async def _cancel(self, op: Cancel) -> TaskState | None:
        task = await self.state.task(op.ref.id)
        if task is None:
            return None
        cancelled = transitions.cancelled(task, at=self._at, version=self._version)
        return task.state if cancelled is task else await self._turn(task, cancelled)

    async def _redrive(self, op: Redrive) -> bool:
        task = await self.state.task(op.ref.id)
        if task is None or task.state not in (TaskState.DEAD, TaskState.CANCELLED):
            return False
        if await self.state.holder(task.queue, task.dedupe_key) is not None:
            return False
        await self._turn(task, transitions.redriven(task, at=self._at, version=self._version))
        return True

    async def _take(self, op: Take) -> int:
        task = await self.state.task(op.ref.id)
        if task is None or not transitions.takeable(task, at=self._at):
            return 0
        await self._turn(task, transitions.claimed(task, op, at=self._at, version=self._version))
        return self._version

    async def _prioritize(self, op: Prioritize) -> bool:
        task = await self.state.task(op.ref.id)
        if task is None or task.state not in LIVE:
            return False
        await self._turn(task, transitions.prioritized(task, op, at=self._at, version=self._version))
        return True

    async def _set_paused(self, op: SetPaused) -> None:
        old = await self.state.queue(op.ref.queue)
        new = QueueImage(ref=op.ref, version=self._version, paused=op.paused)
        await self.state.put_queue(old, new)

    async def _leased(self, op: Complete | Fail | Release | Extend) -> TaskImage:
        """The task, if the lease is current."""
        task = await self._trip.before.task(op.ref.id)
        if task is None or not task.token or task.token != op.token:
            actual = 0 if task is None else task.token
            raise Refusal(Reason.LEASE, op.ref, op.token, actual)
        return task

    async def _turn(self, old: TaskImage, new: TaskImage) -> TaskState:
        await self.state.put_task(old, new)
        return new.state
