"""How a row of the original hive is represented here: one mapping for the importer and for `compat`.

An agent is an ordinary agent: `context_usage` and `capabilities` are its own, `current_task_id` is its
`current_task`, `performance_metrics` (an object) is kept in its metadata under `METRICS` unless it is
empty, and `last_activity` is the instant of its last write.

A task is an ordinary task of the queue `QUEUE`, under its own id and priority. Its payload *is* the
`metadata` object, so a handler of `hive.tasks.work` sees what the hive's code put there. `created_at`
is its instant of creation, `completed_at` the one of its end. What an ordinary task has no place for is
its `Note`: a record of the same key in the collection `NOTES`, which every imported task has.

The states are those of `STATES`; the raw status stays in the note. The other way round it is `status_of`:
the task's own state decides, as ordinary code may have worked at the task since, and the note only tells
apart what one state stands for.

A task that was `assigned` or `in_progress` is imported as leased to its agent until `GRACE_MS` after it
was started (or created, if that is not known). So an agent that is still at it keeps it for a while and
can finish it by `complete_task`; one that died with the old hive loses it, and the next claim hands the
task to another, without anybody's doing. The instant follows from the row, never from the time of the
import, so importing again changes nothing. Such a task was tried once, of `MAX_ATTEMPTS`.

A checkpoint is one of the same name, a snapshot of the system a snapshot whose data are the row's columns.
Instants are whole milliseconds everywhere: microseconds of the original are cut off.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from hive_state_core.errors import CorruptData
from hive_state_core.model import RecordRef, TaskState

QUEUE: Final = "tasks"
"""The original has one queue, without a name."""

NOTES: Final = "hive:legacy-tasks"
"""The collection of the notes."""

METRICS: Final = "performance_metrics"
"""In an agent's metadata."""

MAX_ATTEMPTS: Final = 5
GRACE_MS: Final = 10 * 60 * 1000

LEGACY_FAILURE: Final = "failed in the original hive"
"""The error text of a task that was imported as failed."""

STATES: Final = {
    "pending": TaskState.READY,
    "assigned": TaskState.LEASED,
    "in_progress": TaskState.LEASED,
    "completed": TaskState.COMPLETED,
    "failed": TaskState.DEAD,
}

_STATUSES = {
    TaskState.WAITING: "pending",
    TaskState.SCHEDULED: "pending",
    TaskState.READY: "pending",
    TaskState.LEASED: "in_progress",
    TaskState.COMPLETED: "completed",
    TaskState.DEAD: "failed",
    TaskState.CANCELLED: "failed",
}


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the original knew of a task beyond what an ordinary task holds. In alphabetical order, as
    canonical JSON has it; `started_at` is aware."""

    agent_id: str | None = None
    started_at: datetime | None = None
    status: str = "pending"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


def note_ref(task_id: str) -> RecordRef:
    return RecordRef(NOTES, task_id)


def encode_note(note: Note) -> bytes:
    """Canonical JSON: the value of the note's record."""
    return _encode(note)


def decode_note(data: bytes, task_id: str) -> Note:
    """Raises CorruptData if the stored bytes are no note."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"the note of task {task_id!r} cannot be decoded", raw=data) from error


def status_of(state: TaskState, note: Note | None) -> str:
    """The original's word for a task in that state. It had none for cancelled ones: they failed."""
    if note is not None and STATES.get(note.status) is state:
        return note.status
    return _STATUSES[state]
