"""The file itself, opened to be written to: triggers that note what its hive writes, and that fence it off.

All that is put there is named `hive_state_...`, and `clean` takes it away again.

    hive_state_changes   (seq, tbl, key, history): what was written, by the key of the row (a number for
                         histories, and the name of that)
    hive_state_written   rows of histories that came back from another store: which event each of them is
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from hive_state_core.errors import AccessDenied, Conflict, HiveStateError, Unavailable
from hive_state_legacy.capturing import CAPTURE, CHANGES, EVENTS, PREFIX, Triggers
from hive_state_legacy.snapshot import Snapshot
from hive_state_legacy.tables import Layout

WRITTEN = f"{PREFIX}written"
FENCE = f"{PREFIX}fence_"


class Change(NamedTuple):
    """`key` as the file has it: text for agents and tasks, a number for the rows of a history, which
    `history` names where a table has several."""

    seq: int
    table: str
    key: Any
    history: Any


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
        self.execute(
            f"CREATE TABLE {CHANGES} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT, key, history)"
        )
        self.execute(
            f"CREATE TABLE {WRITTEN} (stream TEXT, seq INTEGER, id INTEGER, PRIMARY KEY (stream, seq))"
            " WITHOUT ROWID"
        )
        for sql in Triggers(self, layout).sql.values():
            self.execute(sql)

    def require_captured(self, layout: Layout) -> Triggers:
        """The triggers that there are. Raises Conflict if they are not those that there have to be: something
        may have been written that nobody noted."""
        wanted, there = Triggers(self, layout), dict(self._objects("trigger", CAPTURE))
        if there == wanted.sql:
            return wanted
        raise Conflict(
            f"tables of {self.path} were made anew, or a UNIQUE index, since its hive began to move: what was"
            " written since may not have been noted; give the move up by `hive-state migrate cancel`, and"
            " start it again",
            key=self.path,
        )

    def changes(self, after: int, limit: int) -> list[Change]:
        sql = f"SELECT seq, tbl, key, history FROM {CHANGES} WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Change(seq, tbl.decode(), *key) for seq, tbl, *key in self.rows(sql, (after, limit))]

    def forget(self, seq: int) -> None:
        """Changes up to this one were brought over."""
        self.execute(f"DELETE FROM {CHANGES} WHERE seq <= ?", (seq,))

    def written(self, stream: str, seq: int) -> int | None:
        """The number of the row that an event became which came back from another store."""
        rows = self.rows(f"SELECT id FROM {WRITTEN} WHERE (stream, seq) = (?, ?)", (stream, seq))
        return next((id for (id,) in rows), None)

    # --- nobody writes

    def fenced(self) -> bool:
        return bool(self._objects("trigger", FENCE))

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
        for name, _ in self._objects(kind, prefix):
            self.execute(f"DROP {kind} {name}")

    def _objects(self, kind: str, prefix: str) -> list[tuple[str, str]]:
        """(name, SQL) of those whose names begin so."""
        sql = "SELECT name, sql FROM sqlite_master WHERE type = ? AND substr(name, 1, ?) = ?"
        return [(name.decode(), made.decode()) for name, made in self.rows(sql, (kind, len(prefix), prefix))]

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


def last_change(snapshot: Snapshot) -> int:
    """The number of the newest change that this snapshot holds."""
    rows: Iterator[tuple[Any, ...]] = snapshot.rows(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (CHANGES,)
    )
    return int(next(rows, (0,))[0])
