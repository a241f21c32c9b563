"""One write trip on the writer's thread: the transaction around it, and the state it decides from."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar, TypeVarTuple

from hive_state_core.control import require_open
from hive_state_core.errors import Unavailable
from hive_state_core.model import TaskImage
from hive_state_core.spi import ControlState
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import dropped, immediate, rollback
from hive_state_sqlite.known import Known
from hive_state_sqlite.turnstile import Turnstile

Answer = TypeVar("Answer")
Item = TypeVar("Item")
What = TypeVarTuple("What")

log = logging.getLogger("hive_state.sqlite")

CHECKPOINT_PAGES = 4000
"""Pages of write-ahead log, about, after which who added them copies the log into the database."""

LONE_PAGES = 1000
"""The same after a trip of one item: a log that stays short need not grow, and is overwritten while it is
still in all caches. As many as SQLite itself takes."""

TRIP_PAGES = 3
"""What a trip adds to the log beside a page for each changed row: the control row, ends of indexes."""


class Trip:
    """What is the same for all batches or claims of a trip. The control row is advanced at once; if nothing
    else changes, that is rolled back too.

    `execute` and `executemany` share one cursor.
    """

    __slots__ = (
        "after",
        "at",
        "changed",
        "db",
        "execute",
        "executemany",
        "ns",
        "orders",
        "version",
    )

    after: Known  # the control row, once it is advanced
    at: int
    orders: int
    version: int

    def __init__(self, db: sqlite3.Connection, ns: int) -> None:
        cursor = db.cursor()
        self.db = db
        self.execute = cursor.execute
        self.executemany = cursor.executemany
        self.ns = ns
        self.changed = False

    def begin(self, known: Known | None, orders: int) -> None:
        """Begin the transaction. `orders`: how many the trip may give out.

        If the control row is still as it was `known`, one statement makes sure of that and advances it.
        """
        self.execute("BEGIN IMMEDIATE")
        if known is None or not self._advance(known, orders):
            self._advance(self._read(), orders)

    def _read(self) -> Known:
        row = self.execute(statements.CONTROL_READ, (self.ns,)).fetchone()
        if row is None:
            raise dropped()
        state, peer, *rest = row
        require_open(ControlState(state), peer)
        return Known(*rest)

    def _advance(self, known: Known, orders: int) -> bool:
        """False: it is not as it was known."""
        after = known.next(orders)
        if self.execute(statements.CONTROL_ADVANCE, known.advance(self.ns, after)).rowcount == 0:
            return False
        self.after = after
        self.at = after.clock
        self.orders = known.orders
        self.version = after.version
        return True

    def next_order(self) -> int:
        """The place of the next task that is enqueued."""
        self.orders += 1
        return self.orders

    def update_tasks(self, tasks: list[TaskImage]) -> None:
        if tasks:
            self.changed = True
            self.executemany(statements.TASK_UPDATE, [rows.task_update_row(self.ns, task) for task in tasks])


Alone = Callable[[sqlite3.Connection, int, Known, Item], tuple[Known, Answer] | None]
"""(connection, namespace, control row, item): the control row after the trip, and the item's answer; None: it
wrote nothing, the general path is to decide."""


class Ended(NamedTuple, Generic[Answer]):
    """A trip that came to its end. `control`: the row as it left it, or would have if it changed anything."""

    control: Known
    changed: bool
    answer: Answer


class Writer:
    """Runs trips, one at a time, on the thread of the writing connection."""

    def __init__(self, path: str, turnstile: Turnstile, timeout_s: float) -> None:
        self._path = path
        self._turnstile = turnstile
        self._timeout_s = timeout_s
        self._known: Known | None = None  # as the last trip of this process left it
        self._grown: sqlite3.Connection | None = None  # by a trip that has still to `leave`
        self._copied_changes = 0
        self._trips = 0  # since then
        self._blocked_until = 0.0

    def run(
        self,
        db: sqlite3.Connection,
        ns: int,
        orders: int,
        work: Callable[[Trip, *What], Answer],
        *what: *What,
    ) -> Ended[Answer]:
        """A trip that does `work(trip, *what)`; committed if it changed anything, else as if it had never
        been. Whatever is raised, the transaction is over and the turnstile free.

        `orders`: how many the trip may give out.
        """
        self._enter()
        try:
            ended = self._run(db, ns, orders, work, *what)
            if ended.changed:
                self._checkpoint_if_due(db, CHECKPOINT_PAGES)
            return ended
        finally:
            self._turnstile.release()

    def run_alone(
        self,
        db: sqlite3.Connection,
        ns: int,
        orders: int,
        alone: Alone[Item, Answer],
        work: Callable[[Trip, Sequence[Item]], Sequence[Answer]],
        item: Item,
    ) -> Ended[Sequence[Answer]]:
        """`run`, for a trip of one item: by `alone`, if that finds all as it expects, else by `work`.
        Whatever comes of it, `leave` is to be called after it; the caller need not wait for that."""
        self._enter()
        known = self._known
        if known is None or (alone_ended := alone(db, ns, known, item)) is None:
            ended = self._run(db, ns, orders, work, (item,))
        else:
            self._known, answer = alone_ended
            ended = Ended(self._known, True, (answer,))
        self._grown = db if ended.changed else None
        return ended

    def leave(self) -> None:
        """After `run_alone`: keep the log short, and let others in."""
        grown, self._grown = self._grown, None
        try:
            try:
                if grown is not None:
                    self._checkpoint_if_due(grown, LONE_PAGES)
            finally:
                self._turnstile.release()
        except (sqlite3.Error, OSError):  # what was committed is, and the next trip tries again
            log.warning("%s: after a trip, its write-ahead log was not copied", self._path, exc_info=True)

    def _run(
        self,
        db: sqlite3.Connection,
        ns: int,
        orders: int,
        work: Callable[[Trip, *What], Answer],
        *what: *What,
    ) -> Ended[Answer]:
        trip = Trip(db, ns)
        try:
            trip.begin(self._known, orders)
            answer = work(trip, *what)
            trip.execute("COMMIT" if trip.changed else "ROLLBACK")
        except BaseException:
            rollback(db)
            raise
        if trip.changed:
            self._known = trip.after
        return Ended(trip.after, trip.changed, answer)

    def alone(
        self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection, *What], Answer], *what: *What
    ) -> Answer:
        """Run work in a transaction that is no trip: it gives no version, and asks for no state."""
        self._enter()
        try:
            with immediate(db):
                answer = work(db, *what)
            self._checkpoint_if_due(db, CHECKPOINT_PAGES)
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

    def _checkpoint_if_due(self, db: sqlite3.Connection, pages: int) -> None:
        """Copy the write-ahead log into the database once this process has added so much to it, by estimate.

        Automatic checkpoints are off: this one runs inside the turnstile, so that none ever runs beside a
        write of hive-state (docs/adr/0003-sqlite-wal-reset.md). FULL makes SQLite itself refuse a foreign
        writer meanwhile. Then the log starts anew, in place, as overwriting is cheaper to sync than
        growing; unless it has become so large that its space is better given back.
        """
        self._trips += 1
        changes = db.total_changes
        added = changes - self._copied_changes + TRIP_PAGES * self._trips
        if added < pages or time.monotonic() < self._blocked_until:
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


def last_counter(db: sqlite3.Connection, ns: int) -> int:
    """Of the last trip that anybody committed."""
    row = db.execute(statements.CONTROL_READ, (ns,)).fetchone()
    return 0 if row is None else int(row[4])
