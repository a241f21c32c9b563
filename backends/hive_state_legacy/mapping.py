"""Rows to images, as `hive_state_core.legacy_model` says.

All are of term 0, so whatever a live store wrote is newer. The version of an agent or task is the instant of
its last change in the original hive: a row that went on there is loaded again.
"""

from __future__ import annotations

from datetime import datetime

from hive_state_core import codec, validate
from hive_state_core.agent_model import agent_ref, changes_of, put_new
from hive_state_core.checkpoints import SNAPSHOTS as SNAPSHOT_STREAM
from hive_state_core.checkpoints import checkpoint_ref, save_op
from hive_state_core.legacy_model import (
    GRACE_MS,
    LEGACY_FAILURE,
    MAX_ATTEMPTS,
    METRICS,
    QUEUE,
    STATES,
    Note,
    encode_note,
    note_ref,
)
from hive_state_core.limits import PRIORITY_MAX, PRIORITY_MIN
from hive_state_core.model import EventImage, Index, RecordImage, RecordRef, StreamRef, TaskImage, TaskState
from hive_state_core.tasks import task_ref
from hive_state_legacy.reading import Fault, Reading
from hive_state_legacy.tables import SNAPSHOTS
from hive_state_legacy.times import instant

TERM = 2**43
"""The first version that is not of term 0."""

COUNTS = tuple(column for column in SNAPSHOTS.columns if column not in ("id", "timestamp"))
"""The columns that are a snapshot's data."""


def agent_images(reading: Reading) -> tuple[RecordImage]:
    ref = reading.checked("agent_id", agent_ref, reading.key("agent_id"))
    metrics = reading.json("performance_metrics", {})
    fields = (
        ("status", "status", reading.key("status")),
        ("current_task_id", "current_task", reading.text("current_task_id") or None),
        ("capabilities", "capabilities", _names(reading)),
        ("context_usage", "context_usage", reading.number("context_usage")),
        ("performance_metrics", "metadata", {METRICS: metrics} if metrics != {} else {}),
    )
    changes: dict[str, object] = {}
    for column, field, value in fields:
        changes |= reading.checked(column, changes_of, **{field: value})
    put, _ = reading.checked("agent_id", put_new, ref, changes)
    return (record_image(ref, put.value, instant(reading.moment_needed("last_activity")), index=put.index),)


def task_images(reading: Reading) -> tuple[TaskImage, RecordImage]:
    """The task, and its note."""
    ref = reading.checked("task_id", task_ref, reading.key("task_id"))
    status = reading.key("status")
    state = STATES[status if status in STATES else reading.rule("unknown_status", "status", _unknown(status))]
    created, started, completed = _moments(reading)
    at = max(instant(moment) for moment in (created, started, completed) if moment is not None)
    agent = reading.text("agent_id") or None
    leased, ended = state is TaskState.LEASED, state in (TaskState.COMPLETED, TaskState.DEAD)
    version = version_of(at)
    payload, _ = codec.encode(reading.json("metadata", {}))
    task = TaskImage(
        ref=ref,
        version=version,
        queue=QUEUE,
        state=state,
        priority=reading.checked("priority", _priority, reading.integer("priority", 5)),
        order=1 + created.microsecond % 1000,  # the oldest first, within the millisecond of due_at, too
        due_at=instant(created),
        payload=payload,
        raw=False,
        dedupe_key=None,
        requires=(),
        parents=(),
        unmet=0,
        attempt=0 if state is TaskState.READY else 1,
        max_attempts=MAX_ATTEMPTS,
        token=version if leased else 0,
        lease_until=instant(started or created) + GRACE_MS if leased else None,
        worker=reading.checked("agent_id", validate.name, agent or "unknown", "agent_id") if leased else None,
        cancel_requested=False,
        error=LEGACY_FAILURE if state is TaskState.DEAD else None,
        result=None,
        result_raw=False,
        created_at=instant(created),
        updated_at=at,
        finished_at=instant(completed or started or created) if ended else None,
    )
    return task, _note_image(ref.id, Note(agent_id=agent, started_at=_whole(started), status=status), at)


def checkpoint_stream(reading: Reading) -> StreamRef:
    return reading.checked("checkpoint_name", checkpoint_ref, reading.key("checkpoint_name"))


def checkpoint_event(reading: Reading, ref: StreamRef, seq: int) -> EventImage:
    return _event(reading, ref, seq, "data", reading.json("data", None))


def snapshot_event(reading: Reading, seq: int) -> EventImage:
    data = {column: reading.number(column) for column in COUNTS if column in reading.row.cells}
    return _event(reading, SNAPSHOT_STREAM, seq, "timestamp", data)


def record_image(
    ref: RecordRef, value: bytes, at: int, *, version: int | None = None, raw: bool = False, index: Index = ()
) -> RecordImage:
    """`version` None: that of the instant."""
    version = version_of(at) if version is None else version
    return RecordImage(
        ref=ref,
        version=version,
        created_version=version,
        value=value,
        raw=raw,
        index=index,
        created_at=at,
        updated_at=at,
        expires_at=None,
    )


def version_of(at: int) -> int:
    return min(max(1, at), TERM - 1)


def _event(reading: Reading, ref: StreamRef, seq: int, column: str, data: object) -> EventImage:
    """The numbers of the original's rows are kept, as what `create_checkpoint` returned names them."""
    op = reading.checked(column, save_op, ref, data, {"legacy_id": reading.row.rowid})
    at = instant(reading.moment_needed("timestamp"))
    return EventImage(stream=ref.stream, seq=seq, version=seq, body=op.body, raw=op.raw, at=at)


def _note_image(id: str, note: Note, at: int) -> RecordImage:
    return record_image(note_ref(id), encode_note(note), at)


def _moments(reading: Reading) -> tuple[datetime, datetime | None, datetime | None]:
    return reading.moment_needed("created_at"), reading.moment("started_at"), reading.moment("completed_at")


def _whole(moment: datetime | None) -> datetime | None:
    """With whole milliseconds."""
    return None if moment is None else moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _names(reading: Reading) -> list[str]:
    value = reading.json("capabilities", [])
    if type(value) is not list:
        raise Fault("capabilities", "JSON, but no list")
    return value


def _priority(value: int) -> int:
    return validate.integer(value, "priority", PRIORITY_MIN, PRIORITY_MAX)


def _unknown(status: str) -> str:
    return f"the unknown status {status[:40]!r}"
