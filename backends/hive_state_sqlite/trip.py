"""One write trip on the writer's thread: the transaction around it, and the state it decides from."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from hive_state_core.control import require_open
from hive_state_core.errors import Unavailable
from hive_state_core.model import TaskImage
from hive_state_core.spi import TERM_SHIFT, ControlState
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import dropped, immediate, rollback
from hive_state_sqlite.turnstile import Turnstile

Answer = TypeVar("Answer")

CHECKPOINT_PAGES = 4000
"""Pages of write-ahead log, about, after which who added them copies the log into the database."""

TRIP_PAGES = 3
"""What a trip adds to the log beside a page for each changed row: the control row, ends of indexes."""


class Trip:
    """What is the same for all batches or claims of a trip. The control row is advanced at once; if nothing
    else changes, that is rolled back too.

    `at`, `version`: the trip's instant and version. Work that changes anything sets `changed`, without which
    the transaction is rolled back. `execute` runs a statement whose rows are fetched before the next one.
    """

    __slots__ = ("at", "changed", "counter", "db", "epoch", "execute", "ns", "orders", "version")

    at: int
    counter: int
    epoch: int
    orders: int
    version: int

    def __init__(self, db: sqlite3.Connection, ns: int) -> None:
        self.db = db
        self.execute = db.cursor().execute
        self.ns = ns
        self.changed = False

    def begin(self, orders: int) -> None:
        """Begin the transaction. `orders`: how many the trip may give out."""
        execute = self.execute
        execute("BEGIN IMMEDIATE")
        row = execute(statements.CONTROL_READ, (self.ns,)).fetchone()
        if row is None:
            raise dropped()
        state, peer, term, self.epoch, counter, self.orders, clock = row
        if state != "open":
            require_open(ControlState(state), peer)
        self.at = max(time.time_ns() // 1_000_000, clock)
        self.counter = counter + 1
        self.version = (term << TERM_SHIFT) + self.counter
        execute(statements.CONTROL_ADVANCE, (self.ns, self.counter, self.orders + orders, self.at))

    def end(self) -> None:
        self.execute("COMMIT" if self.changed else "ROLLBACK")

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


class Writer:
    """Runs trips, one at a time, on the thread of the writing connection."""

    def __init__(self, path: str, turnstile: Turnstile, timeout_s: float) -> None:
        self._path = path
        self._turnstile = turnstile
        self._timeout_s = timeout_s
        self._copied_changes = 0
        self._trips = 0  # since then
        self._blocked_until = 0.0

    def run(
        self, db: sqlite3.Connection, ns: int, work: Callable[[Trip], Answer], orders: int = 0
    ) -> tuple[Trip, Answer]:
        """The trip and what `work` returned; committed if the trip changed anything, else as if it had
        never been. Whatever is raised, the transaction is over and the turnstile free.

        `orders`: how many the trip may give out.
        """
        self._enter()
        try:
            trip = Trip(db, ns)
            try:
                trip.begin(orders)
                answer = work(trip)
                trip.end()
            except BaseException:
                rollback(db)
                raise
            if trip.changed:
                self._checkpoint_if_due(db)
            return trip, answer
        finally:
            self._turnstile.release()

    def alone(self, db: sqlite3.Connection, work: Callable[[], Answer]) -> Answer:
        """Run work in a transaction that is no trip: it gives no version, and asks for no state."""
        self._enter()
        try:
            with immediate(db):
                answer = work()
            self._checkpoint_if_due(db)
            return answer
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
        """Copy the write-ahead log into the database once this process has added enough to it, by estimate.

        Automatic checkpoints are off: this one runs inside the turnstile, so that none ever runs beside a
        write of hive-state (docs/adr/0003-sqlite-wal-reset.md). FULL makes SQLite itself refuse a foreign
        writer meanwhile. Then the log starts anew, in place, as overwriting is cheaper to sync than
        growing; unless it has become so large that its space is better given back.
        """
        self._trips += 1
        changes = db.total_changes
        added = changes - self._copied_changes + TRIP_PAGES * self._trips
        if added < CHECKPOINT_PAGES or time.monotonic() < self._blocked_until:
            return
        try:
            db.execute("PRAGMA busy_timeout = 0")
            blocked, log, done = db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if log - done < CHECKPOINT_PAGES:
                mode = "TRUNCATE" if log > 8 * CHECKPOINT_PAGES else "RESTART"
                db.execute("PRAGMA busy_timeout = 100")
                blocked, _, _ = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            db.execute(f"PRAGMA busy_timeout = {int(self._timeout_s * 1000)}")
        self._copied_changes, self._trips = changes, 0
        # A reader in the way: wait a while before the next try.
        self._blocked_until = time.monotonic() + 1 if blocked else 0.0
