"""The way back: what the store beside the file has, written into the tables of the original hive.

    an agent                   a row of `agents`; its `performance_metrics` come from its metadata
    a task of the queue        a row of `tasks`, if its payload is JSON; waiting, scheduled and ready ones are
    `tasks`                    `pending`, leased ones `in_progress`, cancelled and dead ones `failed`
    a checkpoint               a row of `checkpoints`, if its data are JSON
    a snapshot                 a row of `system_snapshots`, if its data are the columns of one

A row that says the same already is left as it is, to the byte. Everything else waits in the store beside the
file: other records and queues, streams, sessions, locks, results, attempts, requirements, dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple

import msgspec

from hive_state_core.agent_model import stored_of
from hive_state_core.checkpoints import PREFIX as CHECKPOINT
from hive_state_core.checkpoints import Checkpoint
from hive_state_core.legacy_model import METRICS, QUEUE, Note, decode_note, status_of
from hive_state_core.model import EventImage, RecordImage, StreamRef, TaskImage, TaskState
from hive_state_legacy.changes import look
from hive_state_legacy.file import WRITTEN, File
from hive_state_legacy.mapping import COUNTS
from hive_state_legacy.snapshot import Text
from hive_state_legacy.source import Item, Source
from hive_state_legacy.tables import AGENTS, CHECKPOINTS, SNAPSHOTS, TASKS, Found, Table
from hive_state_legacy.times import EPOCH

Cells = dict[str, Any]
"""A row by its columns, as SQLite takes it."""


class Event(NamedTuple):
    """`row`: its number, None if it has none yet."""

    image: EventImage
    row: int | None


class History(NamedTuple):
    """`whole`: the events are all that it has, and rows of others go. Else they are those after its rows."""

    table: Table
    ref: StreamRef
    events: Sequence[Event]
    whole: bool


class Changed(NamedTuple):
    """What of the store beside the file was changed, by its keys; None: it is there no more."""

    agents: Mapping[str, RecordImage | None]
    tasks: Mapping[str, tuple[TaskImage | None, RecordImage | None]]
    """With their notes."""
    histories: Sequence[History]


class Writing:
    """Into one file, inside a transaction of it."""

    def __init__(self, file: File, source: Source) -> None:
        self._file = file
        self._source = source
        self._zone = source.options.timezone

    def write(self, changed: Changed) -> int:
        """How many rows were changed."""
        agents = {key: None if image is None else self._agent(image) for key, image in changed.agents.items()}
        tasks = {
            key: None if task is None or not maps(task) else self._task(task, note)
            for key, (task, note) in changed.tasks.items()
        }
        rows = self._named(AGENTS, agents) + self._named(TASKS, tasks)
        return rows + sum(self._changed_history(history) for history in changed.histories)

    # --- agents and tasks

    def _named(self, table: Table, wanted: Mapping[str, Cells | None]) -> int:
        found = self._source.layout.find(table)
        if found is None:
            return 0
        seen = look(self._source, [(table.name, Text(key.encode())) for key in wanted])
        pairs = list(zip(seen, wanted.values(), strict=True))
        changed = sum(self._align(found, each.item, cells) for each, cells in pairs if each.item is not None)
        missing = [cells for each, cells in pairs if each.item is None and cells is not None]
        for cells in missing:
            self._insert(found, cells)
        return changed + len(missing)

    def _align(self, found: Found, item: Item, cells: Cells | None) -> int:
        """A row with what it is to say."""
        if not item.images:
            return 0  # one that was waived stays as it is
        if cells is None:
            return self._delete(found, item.row.rowid)
        differing = _differing(cells, self._said(item))
        return self._update(found, item.row.rowid, differing) if differing else 0

    def _said(self, item: Item) -> Cells:
        """The cells of a row, by way of its images: what they do not tell makes no difference."""
        first = item.images[0]
        if isinstance(first, TaskImage):
            note = item.images[1]
            return self._task(first, note if isinstance(note, RecordImage) else None)
        return self._agent(first) if isinstance(first, RecordImage) else {}

    def _agent(self, image: RecordImage) -> Cells:
        stored = stored_of(image)
        metrics = msgspec.json.decode(stored.metadata).get(METRICS, {})
        return {
            "agent_id": image.ref.key,
            "status": stored.status,
            "current_task_id": stored.current_task,
            "context_usage": stored.context_usage,
            "last_activity": local(image.updated_at, self._zone),
            "capabilities": json.dumps(list(stored.capabilities)),
            "performance_metrics": json.dumps(metrics),
        }

    def _task(self, task: TaskImage, noted: RecordImage | None) -> Cells:
        has_note = noted is not None and noted.value is not None
        note = decode_note(noted.value or b"", task.ref.id) if noted is not None and has_note else Note()
        started, ended = note.started_at, task.finished_at
        return {
            "task_id": task.ref.id,
            "status": status_of(task.state, note if has_note else None),
            "agent_id": task.worker if task.state is TaskState.LEASED else note.agent_id,
            "priority": task.priority,
            "created_at": local(task.created_at, self._zone),
            "started_at": None if started is None else _naive(started, self._zone),
            "completed_at": None if ended is None else local(ended, self._zone),
            "metadata": json.dumps(msgspec.json.decode(task.payload)),
        }

    # --- histories

    def _changed_history(self, history: History) -> int:
        layout = self._source.layout
        found = layout.find(history.table)
        if found is None:
            return 0
        if not history.whole:
            return self._histories(found, history.events, set())
        name = history.ref.stream.removeprefix(CHECKPOINT)
        named = found.table is CHECKPOINTS
        rows = layout.with_key(found, found.table.needed[0], name) if named else layout.rowids(found)
        return self._histories(found, history.events, {*rows} - self._source.waived(found))

    def _histories(self, found: Found, events: Sequence[Event], there: set[int]) -> int:
        """`there`: the rows that are to be those of the events."""
        kept = {event.row for event in events if event.row is not None} & there
        changed = sum(self._delete(found, rowid) for rowid in there - kept)
        return changed + sum(self._append(found, event.image) for event in events if event.row not in there)

    def _append(self, found: Found, event: EventImage) -> int:
        cells = self._event(found.table, event)
        if not cells:
            return 0
        self._insert(found, cells)
        ((id,),) = self._file.rows("SELECT last_insert_rowid()")
        self._file.execute(
            f"INSERT OR REPLACE INTO {WRITTEN} VALUES (?, ?, ?)", (event.stream, event.seq, id)
        )
        return 1

    def _event(self, table: Table, event: EventImage) -> Cells:
        """Empty for what the table cannot hold."""
        saved = Checkpoint(None, event.seq, event.at, event.body, event.raw)
        data, at = saved.data, local(event.at, self._zone)
        if event.raw:
            return {}
        if table is CHECKPOINTS:
            name = event.stream.removeprefix(CHECKPOINT)
            return {"checkpoint_name": name, "timestamp": at, "data": json.dumps(data)}
        return {"timestamp": at, **data} if table is SNAPSHOTS and _counts(data) else {}

    # --- rows

    def _insert(self, found: Found, cells: Cells) -> None:
        kept = _kept(found, cells)
        places = ", ".join("?" * len(kept))
        self._file.execute(
            f"INSERT INTO {found.name} ({', '.join(kept)}) VALUES ({places})", [*kept.values()]
        )

    def _update(self, found: Found, rowid: int, cells: Cells) -> int:
        if not (kept := _kept(found, cells)):
            return 0
        sets = ", ".join(f"{column} = ?" for column in kept)
        return self._file.execute(
            f"UPDATE {found.name} SET {sets} WHERE {found.rowid} = ?", [*kept.values(), rowid]
        )

    def _delete(self, found: Found, rowid: int) -> int:
        return self._file.execute(f"DELETE FROM {found.name} WHERE {found.rowid} = ?", (rowid,))


def maps(task: TaskImage) -> bool:
    """Whether the table of tasks can hold it."""
    return task.queue == QUEUE and not task.raw


def local(at: int, zone: tzinfo | None) -> str:
    """An instant as the original wrote it: local, and without a zone."""
    return _naive(EPOCH + timedelta(milliseconds=at), zone)


def _naive(moment: datetime, zone: tzinfo | None) -> str:
    return moment.astimezone(zone).replace(tzinfo=None).isoformat()


def _differing(wanted: Cells, said: Cells) -> Cells:
    return {column: value for column, value in wanted.items() if said.get(column) != value}


def _counts(data: object) -> bool:
    return isinstance(data, dict) and all(
        name in COUNTS and type(value) in (int, float, type(None)) for name, value in data.items()
    )


def _kept(found: Found, cells: Cells) -> Cells:
    """The columns that the table of this file has."""
    return {column: value for column, value in cells.items() if column in found.columns}
