"""One write trip on the writer's thread: the transaction around it, and the state it decides from."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from hive_state_core.errors import NotPrimary, SchemaMismatch, Sealed, StoreMoved, Unavailable
from hive_state_core.model import TaskImage
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import SCHEMA_VERSION
from hive_state_sqlite.turnstile import Turnstile

Answer = TypeVar("Answer")

TERM_SHIFT = 43
CHECKPOINT_PAGES = 2000
CHECKPOINT_BYTES = CHECKPOINT_PAGES * 4096
"""Size of the write-ahead log from which on the writer copies it into the database."""


class Trip:
    """What is the same for all batches or claims of a trip.

    `at`, `version`: the trip's instant and version. Work that changes anything sets `changed`, without which
    the transaction is rolled back.
    """

    __slots__ = ("at", "changed", "counter", "db", "epoch", "ns", "orders", "version")

    def __init__(self, db: sqlite3.Connection, ns: int) -> None:
        self.db = db
        self.ns = ns
        self.changed = False
        row = db.execute(statements.CONTROL_READ, (ns,)).fetchone()
        if row is None:
            raise SchemaMismatch(
                "the namespace was dropped while this store was open", found=None, expected=SCHEMA_VERSION
            )
        state, peer, term, epoch, counter, orders, clock = row
        _refuse_unless_open(state, peer)
        self.at: int = max(time.time_ns() // 1_000_000, clock)
        self.epoch: int = epoch
        self.orders: int = orders
        self.counter: int = counter + 1
        self.version: int = (term << TERM_SHIFT) + self.counter

    def next_order(self) -> int:
        """The place of the next task that is enqueued."""
        self.orders += 1
        return self.orders

    def update_tasks(self, tasks: list[TaskImage]) -> None:
        if tasks:
            self.changed = True
            self.db.executemany(
                statements.TASK_UPDATE, [rows.task_update_row(self.ns, task) for task in tasks]
            )

    def finish(self) -> None:
        """Store what the trip used up of counter, orders and clock."""
        self.db.execute(statements.CONTROL_WRITE, (self.ns, self.counter, self.orders, self.at))


class Writer:
    """Runs trips, one at a time, on the thread of the writing connection."""

    def __init__(self, path: str, turnstile: Turnstile, timeout_s: float) -> None:
        self._path = path
        self._turnstile = turnstile
        self._timeout_s = timeout_s
        self._blocked_size = 0
        self._blocked_until = 0.0

    def run(self, db: sqlite3.Connection, ns: int, work: Callable[[Trip], Answer]) -> tuple[Trip, Answer]:
        """The trip and what `work` returned; committed if the trip changed anything, else as if it had
        never been. Whatever is raised, the transaction is over and the turnstile free."""
        self._enter()
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                trip = Trip(db, ns)
                answer = work(trip)
                if trip.changed:
                    trip.finish()
                    db.execute("COMMIT")
                else:
                    db.execute("ROLLBACK")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if trip.changed:
                self._checkpoint_if_due(db)
            return trip, answer
        finally:
            self._turnstile.release()

    def fenced(self, work: Callable[[], Answer]) -> Answer:
        """Run work that has transactions of its own, alone among all hive-state writers."""
        self._enter()
        try:
            return work()
        finally:
            self._turnstile.release()

    def _enter(self) -> None:
        if not self._turnstile.acquire(self._timeout_s):
            raise Unavailable(
                f"cannot write to {self._path}: other processes kept it busy for {self._timeout_s:g} s"
            )

    def _checkpoint_if_due(self, db: sqlite3.Connection) -> None:
        """Copy the write-ahead log into the database once it has grown.

        Automatic checkpoints are off: this one runs inside the turnstile, so that none ever runs beside a
        write of hive-state (docs/adr/0003-sqlite-wal-reset.md). FULL makes SQLite itself refuse a foreign
        writer meanwhile; TRUNCATE starts the log anew where readers allow it.
        """
        size = _size(self._path + "-wal")
        if size < CHECKPOINT_BYTES:
            return
        if size < self._blocked_size + CHECKPOINT_BYTES and time.monotonic() < self._blocked_until:
            return
        try:
            db.execute("PRAGMA busy_timeout = 0")
            _, log, done = db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if log - done < CHECKPOINT_PAGES:
                db.execute("PRAGMA busy_timeout = 100")
                blocked, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            else:
                blocked = 1
        finally:
            db.execute(f"PRAGMA busy_timeout = {int(self._timeout_s * 1000)}")
        # A reader in the way: try again when the log has grown as much again, or after a while.
        self._blocked_size = size if blocked else 0
        self._blocked_until = time.monotonic() + 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _refuse_unless_open(state: str, peer: str | None) -> None:
    match state:
        case "open":
            return
        case "sealed":
            raise Sealed("the store is sealed: a switch is under way; try again in a moment")
        case "moved":
            raise StoreMoved(f"the hive has moved to {peer or 'another store'}", peer=peer)
        case _:
            raise NotPrimary("the store is a standby and takes no writes of its own")
