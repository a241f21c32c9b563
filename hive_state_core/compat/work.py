"""A task of the original hive, named by its id and led through statuses, in terms of claims and leases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from msgspec.structs import replace

from hive_state_core import validate
from hive_state_core.compat.holds import LEASE, Holds
from hive_state_core.errors import LeaseLost
from hive_state_core.legacy_model import QUEUE, Note, decode_note, encode_note, note_ref
from hive_state_core.limits import NAME_BYTES
from hive_state_core.locks import this_process
from hive_state_core.model import RecordImage, TaskImage, TaskRef, TaskState
from hive_state_core.spi import Batch, Complete, Fail, Op, Put, Release
from hive_state_core.store import Store
from hive_state_core.task_model import Task


class Work:
    """The tasks of one manager's store."""

    def __init__(self, hive: Store) -> None:
        self._hive = hive
        self._worker = this_process()
        self.holds: Holds = Holds(hive)

    async def read(self, task_id: str) -> tuple[Task, Note] | None:
        """The task and its note, from one snapshot."""
        ref = TaskRef(validate.key(task_id, "task_id"))
        task, note = await self._hive._trips.read((ref, note_ref(task_id)))
        if task is None:
            return None
        value = cast(RecordImage, note).value if note is not None else None
        return Task(cast(TaskImage, task)), Note() if value is None else decode_note(value, task_id)

    async def claim(self) -> tuple[Task, Note] | None:
        """The most urgent pending task, held for a glance."""
        leases = await self._hive.tasks.claim(QUEUE, worker=self._worker, lease=LEASE, capabilities=())
        for lease in leases:
            self.holds.add(lease)
            note = Note(status="assigned")
            await self.write_note(lease.id, note)
            return lease.task, note
        return None

    async def begin(self, task: Task, note: Note) -> bool:
        """pending -> leased; a task that is leased stays so. The note says to whom."""
        if task.done:
            return False
        if task.state is not TaskState.LEASED:
            lease = await self._hive.tasks.take(task.id, worker=self._worker_of(note), lease=LEASE)
            if lease is None:
                return False
            self.holds.add(lease)
        hold = self.holds.get(task.id)
        if hold is not None:
            hold.assigned = True
        await self.write_note(task.id, note)
        return True

    async def end(self, task: Task, note: Note, success: bool) -> bool:
        """-> completed or failed. A pending task is taken first."""
        if task.state is not TaskState.LEASED:
            if not await self.begin(
                task, replace(note, status="in_progress", started_at=note.started_at or now())
            ):
                return False
            task, note = cast("tuple[Task, Note]", await self.read(task.id))
        ref, token = TaskRef(task.id), self._token(task)
        op = Complete(ref, token) if success else Fail(ref, token, "failed, said the hive", None)
        return await self._finish(op, replace(note, status="completed" if success else "failed"))

    async def reopen(self, task: Task, note: Note) -> bool:
        """-> pending."""
        note = replace(note, status="pending", agent_id=None)
        if task.state is TaskState.COMPLETED:
            return False
        if task.state is TaskState.LEASED:
            return await self._finish(Release(TaskRef(task.id), self._token(task)), note)
        if task.done and not await self._hive.tasks.redrive(task.id):
            return False
        await self.write_note(task.id, note)
        return True

    async def write_note(self, task_id: str, note: Note) -> None:
        await self._write(_note_put(task_id, note))

    def _token(self, task: Task) -> int:
        """That of our lease, or else the current one: the original's verbs name no lease."""
        hold = self.holds.get(task.id)
        return hold.lease.token if hold is not None else task._image.token

    async def _finish(self, op: Complete | Fail | Release, note: Note) -> bool:
        """Give up the lease; False: it is lost."""
        try:
            await self._write(op, _note_put(op.ref.id, note))
        except LeaseLost:
            self.holds.drop(op.ref.id)
            return False
        self.holds.drop(op.ref.id)
        return True

    async def _write(self, *ops: Op) -> None:
        await self._hive._trips.commit(Batch(ops))

    def _worker_of(self, note: Note) -> str:
        fits = note.agent_id is not None and len(note.agent_id.encode()) <= NAME_BYTES
        return cast(str, note.agent_id) if fits else self._worker


def now() -> datetime:
    """For a note, in whole milliseconds."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _note_put(task_id: str, note: Note) -> Put:
    return Put(note_ref(task_id), encode_note(note))
