"""The proof of an import: file and store, both read anew, compared field by field.

The file is read by a connection of its own, the store through what users call, and `expected` says what a
row has to be. What a live hive has written since is not compared: its version is above those of any import.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import groupby, islice
from typing import Any, TypeVar

import msgspec

from hive_state_core.agents import Agent
from hive_state_core.checkpoints import Checkpoint
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.store import Store
from hive_state_core.tasks import Task
from hive_state_legacy.expected import Expecting, Values

LIVE = 1 << 43
PAGE = 200
MOST = 1000
"""Differences that are named; all are counted."""


class Different(msgspec.Struct, frozen=True):
    """No fields: the row is not in the store at all."""

    table: str
    rowid: int
    fields: list[str]


class Verified(msgspec.Struct):
    """Rows by table: `same`, `different`, and not compared because they are the `live` store's by now."""

    same: dict[str, int] = msgspec.field(default_factory=dict)
    different: dict[str, int] = msgspec.field(default_factory=dict)
    live: dict[str, int] = msgspec.field(default_factory=dict)
    rows: list[Different] = msgspec.field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(self.different.values())


class Verifier:
    """`copy`: path of the file, or of a copy of it. `left_out`: rows, by (table, rowid), that are not to be
    in the store, or not as the file has them."""

    def __init__(
        self,
        copy: str,
        hive: Store,
        expecting: Expecting,
        left_out: set[tuple[str, int]],
        progress: Callable[[Verified], None],
    ) -> None:
        """Calls `progress` now and then."""
        self._copy = copy
        self._progress = progress
        self._compared = 0
        self._hive = hive
        self._expecting = expecting
        self._left_out = left_out
        self._found = Verified()

    async def run(self) -> Verified:
        """Raises what the store raises."""
        with closing(sqlite3.connect(f"file:{self._copy}?mode=ro", uri=True)) as db:
            db.text_factory = lambda text: text.decode(errors="replace")
            db.row_factory = sqlite3.Row
            for table, compare in (
                ("agents", self._agents),
                ("tasks", self._tasks),
                ("checkpoints", self._checkpoints),
                ("system_snapshots", self._snapshots),
            ):
                if db.execute(f"PRAGMA table_info({table})").fetchone() is None:
                    continue
                for counts in (self._found.same, self._found.different, self._found.live):
                    counts[table] = 0
                await compare(db)
        return self._found

    async def _agents(self, db: sqlite3.Connection) -> None:
        for rows in _pages(self._rows(db, "agents")):
            found = await self._hive.agents.get_many([row["agent_id"] for row in rows])
            for row, agent in zip(rows, found, strict=True):
                version = None if agent is None else agent.version
                self._compare("agents", row, version, _seen(agent, _agent), self._expecting.agent)

    async def _tasks(self, db: sqlite3.Connection) -> None:
        for rows in _pages(self._rows(db, "tasks")):
            tasks = await asyncio.gather(*[self._hive.tasks.get(row["task_id"]) for row in rows])
            notes = await self._notes([row["task_id"] for row in rows])
            for row, task, note in zip(rows, tasks, notes, strict=True):
                version = None if task is None else task.version
                seen = None if task is None else {**_task(task), "note": note}
                self._compare("tasks", row, version, seen, self._expecting.task)

    async def _notes(self, ids: list[str]) -> list[Values | None]:
        """What is kept of the tasks beside them. No facet shows it."""
        images = await self._hive.loading().images([RecordRef("hive:legacy-tasks", id) for id in ids])
        return [_note(image.value) if isinstance(image, RecordImage) else None for image in images]

    async def _checkpoints(self, db: sqlite3.Connection) -> None:
        order = "checkpoint_name COLLATE BINARY, timestamp COLLATE BINARY,"
        rows = self._rows(db, "checkpoints", order)
        for name, history in groupby(rows, lambda row: str(row["checkpoint_name"])):
            saved = self._hive.checkpoints.list(name)
            await self._history("checkpoints", history, saved, self._expecting.checkpoint)

    async def _snapshots(self, db: sqlite3.Connection) -> None:
        rows = self._rows(db, "system_snapshots", "timestamp COLLATE BINARY,")
        saved = self._hive.checkpoints.snapshots()
        await self._history("system_snapshots", rows, saved, self._expecting.snapshot)

    async def _history(
        self,
        table: str,
        rows: Iterable[sqlite3.Row],
        saved: AsyncIterator[Checkpoint],
        expect: Callable[[sqlite3.Row], Values],
    ) -> None:
        """The rows, in their order, against the history, in its own: what the store has beside them is passed
        over, so a row out of its place is missing."""
        number, checkpoint = await self._next(table, saved)
        for row in rows:
            if number != row[0]:
                self._compare(table, row, None, None, expect)
                continue
            self._compare(table, row, 0, _seen(checkpoint, _checkpoint), expect)
            number, checkpoint = await self._next(table, saved)

    async def _next(self, table: str, saved: AsyncIterator[Checkpoint]) -> tuple[int, Checkpoint | None]:
        """The next one that was a row, and its number; (-1, None) at the end."""
        async for checkpoint in saved:
            number = checkpoint.metadata.get("legacy_id")
            if isinstance(number, int) and (table, number) not in self._left_out:
                return number, checkpoint
        return -1, None

    def _rows(self, db: sqlite3.Connection, table: str, order: str = "") -> Iterator[sqlite3.Row]:
        """The rows that are to be in the store, the number first."""
        names = {name.lower() for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
        number = next(word for word in ("rowid", "_rowid_", "oid") if word not in names)
        for row in db.execute(f"SELECT {number} AS hive_number, * FROM {table} ORDER BY {order} {number}"):
            if (table, row[0]) not in self._left_out:
                yield row

    def _compare(
        self,
        table: str,
        row: sqlite3.Row,
        version: int | None,
        seen: Values | None,
        expect: Callable[[sqlite3.Row], Values],
    ) -> None:
        self._compared += 1
        if self._compared % PAGE == 0:
            self._progress(self._found)
        if version is not None and version >= LIVE:
            self._found.live[table] += 1
            return
        expected = expect(row)
        wrong = [] if seen is None else [name for name in expected if not _equal(seen[name], expected[name])]
        if seen is not None and not wrong:
            self._found.same[table] += 1
            return
        self._found.different[table] += 1
        if len(self._found.rows) < MOST:
            self._found.rows.append(Different(table, row[0], wrong))


def _equal(one: Any, other: Any) -> bool:
    """Equal in type too, all the way down: 1 is neither 1.0 nor True, and -0.0 is not 0.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


T = TypeVar("T")


def _seen(found: T | None, show: Callable[[T], Values]) -> Values | None:
    return None if found is None else show(found)


def _agent(agent: Agent) -> Values:
    return {
        "status": agent.status,
        "capabilities": list(agent.capabilities),
        "current_task": agent.current_task,
        "context_usage": agent.context_usage,
        "metadata": agent.metadata,
        "updated_at": agent.updated_at,
    }


def _task(task: Task) -> Values:
    return {
        "state": task.state.value,
        "priority": task.priority,
        "payload": task.payload,
        "created_at": task.created_at,
        "finished_at": task.finished_at,
        "worker": task.worker,
        "lease_until": task.lease_until,
    }


def _checkpoint(checkpoint: Checkpoint) -> Values:
    return {"data": checkpoint.data, "at": checkpoint.at}


def _note(value: bytes | None) -> Values | None:
    if value is None:
        return None
    note: Values = json.loads(value)
    started = note["started_at"]
    return {**note, "started_at": None if started is None else datetime.fromisoformat(started)}


def _pages(rows: Iterator[sqlite3.Row]) -> Iterator[list[sqlite3.Row]]:
    while page := list(islice(rows, PAGE)):
        yield page
