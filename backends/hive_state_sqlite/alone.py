"""Trips of one plain operation, as a lone caller makes them: one statement is the whole transaction.

Each kind of them is a temporary view of the writing connection. What is inserted into it are the arguments
of `control_advance`, then those of the statements that write; its trigger runs them all, and aborts unless
each found its row. They are those of the other paths; whatever does not hold is left to these.
"""

from __future__ import annotations

import re
import sqlite3
from typing import cast

from hive_state_core import transitions
from hive_state_core.spi import (
    Append,
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
    "alone_put": (statements.RECORD_OVERWRITE,),
    "alone_swap": (statements.RECORD_SWAP,),
    "alone_enqueue": (statements.TASK_INSERT,),
    "alone_complete": (statements.TASK_COMPLETE,),
    "alone_lease": (statements.TASK_LEASE.rstrip() + " AND version = ?8",),
    "alone_append": (statements.STREAM_ADVANCE, statements.EVENT_APPEND),
}
_PARAMETER = re.compile(r"\?(\d+)")


def prepare(db: sqlite3.Connection) -> None:
    """Once, for the writing connection."""
    db.execute("PRAGMA temp_store = MEMORY")
    for name, writes in _VIEWS.items():
        columns = _columns(name)
        nulls = ", ".join(["NULL"] * len(columns))
        db.execute(f"CREATE TEMP VIEW {name} ({', '.join(columns)}) AS SELECT {nulls}")
        steps = [_trigger_step("c", statements.CONTROL_ADVANCE), *[_trigger_step("p", one) for one in writes]]
        db.execute(
            f"CREATE TEMP TRIGGER {name}_insert INSTEAD OF INSERT ON {name} BEGIN {' '.join(steps)} END"
        )


def _columns(view: str) -> list[str]:
    """Of `control_advance`, and of the statements that write: their parameters are the same."""
    taken = (("c", statements.CONTROL_ADVANCE), ("p", " ".join(_VIEWS[view])))
    counts = [(prefix, max(map(int, _PARAMETER.findall(sql)))) for prefix, sql in taken]
    return [f"{prefix}{number}" for prefix, count in counts for number in range(1, count + 1)]


def _trigger_step(prefix: str, statement: str) -> str:
    step = _PARAMETER.sub(rf"new.{prefix}\1", statement)
    return f"{step};\nSELECT RAISE(ABORT, 'not as expected') WHERE changes() = 0;"


def _insert(view: str) -> str:
    return f"INSERT INTO {view} VALUES ({', '.join('?' * len(_columns(view)))})"


_PUT, _SWAP, _ENQUEUE, _COMPLETE, _LEASE, _APPEND = map(_insert, _VIEWS)


def commit(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    """See `trip.Alone`."""
    decide = sets.decider(batch)
    if decide is not None:
        return _WRITES[decide](db, ns, known, batch)
    return _append(db, ns, known, batch) if sets.is_plain(batch, Append) else None


def _put(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Put, batch.ops[0])
    after = known.next(0, known.end)
    at = after.clock
    row = rows.put_row(ns, op, at, after.version, None if op.ttl is None else at + op.ttl)
    if batch.checks:
        statement, row = _SWAP, (*row, cast(VersionIs, batch.checks[0]).version)
    else:
        statement = _PUT
    return _ended(db, statement, ns, known, after, row, None)


def _enqueue(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Enqueue, batch.ops[0])
    after = known.next(1, known.end)
    row = rows.enqueue_row(ns, op, after.clock, after.version, after.orders)
    return _ended(db, _ENQUEUE, ns, known, after, row, Enqueued(op.ref.id, True))


def _complete(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    op = cast(Complete, batch.ops[0])
    after = known.next(0, known.end)
    row = (ns, op.ref.id, op.token, after.version, op.result, op.raw, after.clock)
    return _ended(db, _COMPLETE, ns, known, after, row, None)


def _append(db: sqlite3.Connection, ns: int, known: Known, batch: Batch) -> tuple[Known, Outcome] | None:
    """To a stream that is there. Its end is known, or read in a snapshot of its own; it must still be so."""
    op = cast(Append, batch.ops[0])
    stream = op.ref.stream
    last = _end_of(db, ns, known, stream)
    if last is None:
        return None
    seq = last + 1
    after = known.next(0, (stream, seq))
    row = rows.append_row(ns, op, seq, after.version, after.clock)
    return _ended(db, _APPEND, ns, known, after, row, seq)


def _end_of(db: sqlite3.Connection, ns: int, known: Known, stream: str) -> int | None:
    if known.end is not None and known.end[0] == stream:
        return known.end[1]
    head = db.execute(statements.STREAM_READ, (ns, stream)).fetchone()
    return None if head is None else int(head[2])


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
    after = known.next(0, known.end)
    at = after.clock
    found = db.execute(statements.TASK_NEXT, (ns, request.queue, "", 1, at)).fetchall()
    if not found:
        return None
    task = rows.task_image(found[0])
    leased = transitions.claimed(task, request, at=at, version=after.version)
    lease = (*rows.task_lease_row(ns, leased), task.version)
    if not _written(db, _LEASE, (*known.advance(ns, after), *lease)):
        return None
    return after, ClaimedTasks((leased,))
