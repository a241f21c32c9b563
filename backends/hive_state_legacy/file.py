"""The file itself, opened to be written to: triggers that note what its hive writes, and that fence it off.

All that is put there is named `hive_state_...`, and `clean` takes it away again.

    hive_state_changes   (seq, tbl, key): what was written, by the key of the row (a number for histories)
    hive_state_written   rows of histories that came back from another store: which event each of them is

One hole: REPLACE deletes a row that is in the way by another UNIQUE column, and fires no trigger for
it (unless that program has set `recursive_triggers`). So the keys are compared too, see `changes.sweep`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from hive_state_core.errors import AccessDenied, HiveStateError, Unavailable
from hive_state_legacy.snapshot import Snapshot
from hive_state_legacy.tables import AGENTS, TASKS, Found, Layout

PREFIX = "hive_state_"
CHANGES = f"{PREFIX}changes"
WRITTEN = f"{PREFIX}written"
FENCE = f"{PREFIX}fence_"
EVENTS = ("INSERT", "UPDATE", "DELETE")


class Change(NamedTuple):
    """`key` as the file has it: text for agents and tasks, a number for the rows of a history."""

    seq: int
    table: str
    key: Any


class File(Snapshot):
    """As a Snapshot to those who read from it, but it is what is there now. For one thread at a time."""

    def open(self) -> None:
        """Raises AccessDenied, Unavailable, and as `Snapshot.open` does of a file that is no hive's."""
        with self.native_errors():
            uri = f"file:{quote(self.path)}?mode=rw"
            self._db = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=self._timeout
            )
            self._look_at(self._db)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """How many rows were changed."""
        if self._db is None:
            raise Unavailable("the file is not open")
        with self.native_errors():
            return self._db.execute(sql, parameters).rowcount

    def begin(self) -> None:
        """From now until `commit` or `roll_back` nobody else writes."""
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.execute("COMMIT")

    def roll_back(self) -> None:
        if self._db is not None and self._db.in_transaction:
            self.execute("ROLLBACK")

    # --- what is written is noted

    def capture(self, layout: Layout) -> None:
        """From the end of this transaction on."""
        self.execute(f"CREATE TABLE {CHANGES} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT, key)")
        self.execute(f"CREATE TABLE {WRITTEN} (tbl TEXT, id INTEGER, stream TEXT, seq INTEGER)")
        for found in layout.tables:
            for event, sides in zip(EVENTS, (("NEW",), ("OLD", "NEW"), ("OLD",)), strict=True):
                notes = " ".join(
                    f"INSERT INTO {CHANGES} (tbl, key) VALUES ('{found.name}', {side}.{key_column(found)});"
                    for side in sides
                )
                name = f"{PREFIX}capture_{found.name}_{event.lower()}"
                self.execute(f"CREATE TRIGGER {name} AFTER {event} ON {found.name} BEGIN {notes} END")

    def changes(self, after: int, limit: int) -> list[Change]:
        sql = f"SELECT seq, tbl, key FROM {CHANGES} WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Change(seq, tbl.decode(), key) for seq, tbl, key in self.rows(sql, (after, limit))]

    def forget(self, seq: int) -> None:
        """Changes up to this one were brought over."""
        self.execute(f"DELETE FROM {CHANGES} WHERE seq <= ?", (seq,))

    # --- nobody writes

    def fenced(self) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ? LIMIT 1"
        return any(self.rows(sql, (len(FENCE), FENCE)))

    def fence(self, layout: Layout, why: str) -> None:
        """Every write to the tables of the hive fails with this text, and changes nothing."""
        self.unfence()
        text = "hive-state: " + why.replace("'", "''")
        for found in layout.tables:
            for event in EVENTS:
                self.execute(
                    f"CREATE TRIGGER {FENCE}{found.name}_{event.lower()} BEFORE {event} ON {found.name}"
                    f" BEGIN SELECT RAISE(ABORT, '{text}'); END"
                )

    def unfence(self) -> None:
        self._drop("trigger", FENCE)

    def clean(self) -> None:
        """It is the file of an original hive again, and nothing else."""
        self._drop("trigger", PREFIX)
        self._drop("table", PREFIX)

    def _drop(self, kind: str, prefix: str) -> None:
        sql = "SELECT name FROM sqlite_master WHERE type = ? AND substr(name, 1, ?) = ?"
        for (name,) in list(self.rows(sql, (kind, len(prefix), prefix))):
            self.execute(f"DROP {kind} {name.decode()}")

    def _translated(self, error: sqlite3.Error) -> HiveStateError:
        name = getattr(error, "sqlite_errorname", "")
        match "_".join(name.split("_")[:2]):
            case "SQLITE_BUSY" | "SQLITE_LOCKED":
                return Unavailable(f"{self.path} is written to by another program all the time; try again")
            case "SQLITE_READONLY" | "SQLITE_CANTOPEN" | "SQLITE_PERM":
                return AccessDenied(
                    f"{self.path} cannot be written to ({error}): triggers have to be put there"
                )
        return super()._translated(error)


def key_column(found: Found) -> str:
    """What names a row of it in the list of changes."""
    return found.table.needed[0] if found.table in (AGENTS, TASKS) else found.rowid


def last_change(snapshot: Snapshot) -> int:
    """The number of the newest change that this snapshot holds."""
    rows: Iterator[tuple[Any, ...]] = snapshot.rows(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (CHANGES,)
    )
    return int(next(rows, (0,))[0])
