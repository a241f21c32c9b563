"""The set-based path: batches of one plain put or one plain enqueue, decided and written many at a time.

It gives what the general path (`committing`) would give, without its bookkeeping for each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hive_state_core.model import RecordRef
from hive_state_core.spi import (
    KEEP_TTL,
    Batch,
    Committed,
    Enqueue,
    Enqueued,
    Outcome,
    Put,
    Reason,
    Refused,
    VersionIs,
)
from hive_state_sqlite import rows, statements
from hive_state_sqlite.prestate import load_records
from hive_state_sqlite.trip import Trip


def is_plain_put(batch: Batch) -> bool:
    """One put, with no check but one of the version of its own record."""
    if len(batch.ops) != 1 or batch.commit_id is not None:
        return False
    op, checks = batch.ops[0], batch.checks
    if type(op) is not Put or op.ttl == KEEP_TTL:
        return False
    return not checks or (len(checks) == 1 and type(checks[0]) is VersionIs and checks[0].ref == op.ref)


def is_plain_enqueue(batch: Batch) -> bool:
    """One enqueue that nothing but its id can keep from being created."""
    if len(batch.ops) != 1 or batch.checks or batch.commit_id is not None:
        return False
    op = batch.ops[0]
    return type(op) is Enqueue and op.dedupe_key is None and not op.depends_on


def put_all(trip: Trip, batches: Sequence[Batch]) -> list[Outcome]:
    """Outcomes in the order of the batches, which are plain puts."""
    checked = [cast(RecordRef, batch.checks[0].ref) for batch in batches if batch.checks]
    present = load_records(trip, checked) if checked else {}
    committed = Committed(trip.version, trip.at, (None,))
    outcomes: list[Outcome] = []
    puts: list[rows.Row] = []
    for batch in batches:
        op = cast(Put, batch.ops[0])
        if batch.checks:
            expected = cast(VersionIs, batch.checks[0]).version
            state = present.get(op.ref)
            actual = state.version if state else 0
            if actual != expected:
                outcomes.append(Refused(Reason.VERSION, op.ref, 0, True, expected, actual))
                continue
        puts.append(put_row(trip, op, None if op.ttl is None else trip.at + op.ttl))
        outcomes.append(committed)
    if puts:
        trip.changed = True
        trip.db.executemany(statements.RECORD_PUT, puts)
    return outcomes


def put_row(trip: Trip, op: Put, expires_at: int | None) -> rows.Row:
    """For `record_put`."""
    ref = op.ref
    index = rows.dump_index(op.index) if op.index else None
    return trip.ns, ref.collection, ref.key, trip.version, op.value, op.raw, index, trip.at, expires_at


def enqueue_all(trip: Trip, batches: Sequence[Batch]) -> list[Outcome] | None:
    """Outcomes in the order of the batches, which are plain enqueues. None, and nothing written, if one
    of the ids is taken: then the general path finds out which."""
    db, orders = trip.db, trip.orders
    ops = [cast(Enqueue, batch.ops[0]) for batch in batches]
    inserts = [rows.enqueue_row(trip.ns, op, trip.at, trip.version, trip.next_order()) for op in ops]
    if len(inserts) == 1:  # either written or not: there is nothing to take back
        if db.execute(statements.TASK_INSERT, inserts[0]).rowcount != 1:
            trip.orders = orders
            return None
        trip.changed = True
        return [Committed(trip.version, trip.at, (Enqueued(ops[0].ref.id, True),))]
    db.execute("SAVEPOINT enqueues")
    if db.executemany(statements.TASK_INSERT, inserts).rowcount != len(inserts):
        db.execute("ROLLBACK TO enqueues")
        db.execute("RELEASE enqueues")
        trip.orders = orders
        return None
    db.execute("RELEASE enqueues")
    trip.changed = True
    return [Committed(trip.version, trip.at, (Enqueued(op.ref.id, True),)) for op in ops]
