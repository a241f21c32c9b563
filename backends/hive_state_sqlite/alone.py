"""Trips of one plain operation, as a lone caller makes them: one statement is the whole transaction.

Each kind of them is a temporary view of the writing connection. What is inserted into it are the arguments
of `control_advance`, then those of the statement that writes; its trigger runs both, and aborts unless each
found its row. They are the statements of the set-based path; whatever does not hold is left to others.
"""

from __future__ import annotations

import re
import sqlite3
from typing import cast

from hive_state_core import transitions
from hive_state_core.spi import (
    Batch,
    Claimed,
    ClaimedTasks,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Complete,
    Enqueue,
    Enqueued,
    OpResult,
    Outcome,
    Put,
    VersionIs,
)
from hive_state_sqlite import rows, sets, statements
from hive_state_sqlite.known import Known
from hive_state_sqlite.trip import Alone

_VIEWS = {
    "alone_put": statements.RECORD_OVERWRITE,
    "alone_swap": statements.RECORD_SWAP,
    "alone_enqueue": statements.TASK_INSERT,
    "alone_complete": statements.TASK_COMPLETE,
    "alone_lease": statements.TASK_LEASE.rstrip() + " AND version = ?8",
}
_PARAMETER = re.compile(r"\?(\d+)")


def prepare(db: sqlite3.Connection) -> None:
    """Once, for the writing connection."""
    db.execute("PRAGMA temp_store = MEMORY")
    for name, statement in _VIEWS.items():
        columns = [*_columns("c", statements.CONTROL_ADVANCE), *_columns("p", statement)]
        nulls = ", ".join(["NULL"] * len(columns))
        db.execute(f"CREATE TEMP VIEW {name} ({', '.join(columns)}) AS SELECT {nulls}")
        db.execute(
            f"CREATE TEMP TRIGGER {name}_insert INSTEAD OF INSERT ON {name} BEGIN"
            f" {_trigger_step('c', statements.CONTROL_ADVANCE)} {_trigger_step('p', statement)} END"
        )


def _columns(prefix: str, statement: str) -> list[str]:
    count = max(map(int, _PARAMETER.findall(statement)))
    return [f"{prefix}{number}" for number in range(1, count + 1)]


def _trigger_step(prefix: str, statement: str) -> str:
    step = _PARAMETER.sub(rf"new.{prefix}\1", statement)
    return f"{step};\nSELECT RAISE(ABORT, 'not as expected') WHERE changes() = 0;"


def _insert(view: str) -> str:
    count = len(_columns("c", statements.CONTROL_ADVANCE)) + len(_columns("p", _VIEWS[view]))
    return f"INSERT INTO {view} VALUES ({', '.join('?' * count)})"


_PUT, _SWAP, _ENQUEUE, _COMPLETE, _LEASE = map(_insert, _VIEWS)


def commit(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    """See `trip.Alone`."""
    decide = sets.decider(batch)
    return None if decide is None else _WRITES[decide](db, ns, known, batch)


def _put(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Put, batch.ops[0])
    after = known.next(0)
    at = after.clock
    row = rows.put_row(ns, op, at, after.version, None if op.ttl is None else at + op.ttl)
    if batch.checks:
        statement, row = _SWAP, (*row, cast(VersionIs, batch.checks[0]).version)
    else:
        statement = _PUT
    return _ended(db, statement, ns, known, after, row, None)


def _enqueue(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Enqueue, batch.ops[0])
    after = known.next(1)
    row = rows.enqueue_row(ns, op, after.clock, after.version, after.orders)
    return _ended(db, _ENQUEUE, ns, known, after, row, Enqueued(op.ref.id, True))


def _complete(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Complete, batch.ops[0])
    after = known.next(0)
    row = (ns, op.ref.id, op.token, after.version, op.result, op.raw, after.clock)
    return _ended(db, _COMPLETE, ns, known, after, row, None)


_WRITES: dict[sets.Decide, Alone[Batch, Outcome]] = {
    sets.put_all: _put,
    sets.swap_all: _put,
    sets.enqueue_all: _enqueue,
    sets.complete_all: _complete,
}


def _ended(
    db: sqlite3.Connection,
    statement: str,
    ns: int,
    known: Known,
    after: Known,
    row: rows.Row,
    result: OpResult,
) -> tuple[Known, Outcome] | None:
    if not _written(db, statement, (*known.advance(ns, after), *row)):
        return None
    return after, Committed(after.version, after.clock, (result,))


def _written(db: sqlite3.Connection, statement: str, arguments: rows.Row) -> bool:
    """False: nothing is written, something is not as expected."""
    try:
        db.execute(statement, arguments)
    except sqlite3.IntegrityError:
        return False
    return True


def claim(
    db: sqlite3.Connection, ns: int, known: Known, request: ClaimRequest
) -> tuple[Known, Claimed] | None:
    """See `trip.Alone`; of one task. It is found in a snapshot of its own; the control row, and the task's
    version, tell that nothing happened since."""
    if type(request) is not ClaimTasks or request.limit != 1:
        return None
    found = db.execute(statements.TASK_NEXT, (ns, request.queue, "", 1)).fetchall()
    if not found:
        return None
    paused, lease_ends, due_at, other_lane, *row = found[0]
    after = known.next(0)
    at = after.clock
    if paused or other_lane is not None or any(due is not None and due <= at for due in (lease_ends, due_at)):
        return None
    task = rows.task_image(row)
    leased = transitions.claimed(task, request, at=at, version=after.version)
    lease = (*rows.task_lease_row(ns, leased), task.version)
    if not _written(db, _LEASE, (*known.advance(ns, after), *lease)):
        return None
    return after, ClaimedTasks((leased,))
