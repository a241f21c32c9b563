"""The set-based path: batches of one plain operation, each decided by the statement that writes it.

It gives what the general path (`committing`) would give, without reading first and without bookkeeping for
each batch. What a statement cannot decide is left to that path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from hive_state_core.model import RecordRef
from hive_state_core.spi import (
    KEEP_TTL,
    Batch,
    Committed,
    Complete,
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

Decided = list[Outcome | None]
"""Outcomes in the order of the batches; None: nothing was written, the general path is to decide."""

Decide = Callable[[Trip, Sequence[Batch]], Decided]


def decider(batch: Batch) -> Decide | None:
    """What decides a batch of this kind, if it is plain."""
    if len(batch.ops) != 1 or batch.commit_id is not None:
        return None
    op, checks = batch.ops[0], batch.checks
    if type(op) is Put:
        if op.ttl == KEEP_TTL:
            return None
        if not checks:
            return put_all
        own = len(checks) == 1 and type(checks[0]) is VersionIs and checks[0].ref == op.ref
        return swap_all if own else None
    if checks:
        return None
    if type(op) is Enqueue:
        return enqueue_all if op.dedupe_key is None and not op.depends_on else None
    return complete_all if type(op) is Complete else None


def put_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Puts without a check."""
    puts = [put_row(trip, op, None if op.ttl is None else trip.at + op.ttl) for op in _puts(batches)]
    if len(puts) == 1:
        trip.execute(statements.RECORD_PUT, puts[0])
    else:
        trip.db.executemany(statements.RECORD_PUT, puts)
    trip.changed = True
    return [Committed(trip.version, trip.at, (None,))] * len(puts)


def swap_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Puts with a check of the version of their own record."""
    committed = Committed(trip.version, trip.at, (None,))
    outcomes: Decided = []
    for op, batch in zip(_puts(batches), batches, strict=True):
        row = put_row(trip, op, None if op.ttl is None else trip.at + op.ttl)
        expected = cast(VersionIs, batch.checks[0]).version
        if expected:
            written = trip.execute(statements.RECORD_SWAP, (*row, expected)).rowcount
        else:
            written = trip.execute(statements.RECORD_CREATE, row).rowcount
        if written:
            trip.changed = True
        outcomes.append(committed if written else _refused(trip, op.ref, expected))
    return outcomes


def _refused(trip: Trip, ref: RecordRef, expected: int) -> Refused:
    state = load_records(trip, [ref]).get(ref)
    return Refused(Reason.VERSION, ref, 0, True, expected, state.version if state else 0)


def _puts(batches: Sequence[Batch]) -> list[Put]:
    return [cast(Put, batch.ops[0]) for batch in batches]


def put_row(trip: Trip, op: Put, expires_at: int | None) -> rows.Row:
    """For `record_put` and its kin."""
    ref = op.ref
    index = rows.dump_index(op.index) if op.index else None
    return trip.ns, ref.collection, ref.key, trip.version, op.value, op.raw, index, trip.at, expires_at


def enqueue_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Enqueues that nothing but their ids can keep from being created."""
    outcomes: Decided = []
    for batch in batches:
        op = cast(Enqueue, batch.ops[0])
        row = rows.enqueue_row(trip.ns, op, trip.at, trip.version, trip.next_order())
        created = trip.execute(statements.TASK_INSERT, row).rowcount == 1
        trip.changed = trip.changed or created
        version = trip.version if created else 0
        outcomes.append(Committed(version, trip.at, (Enqueued(op.ref.id, created),)))
    return outcomes


def complete_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Completions; of tasks without children, as far as their leases are current."""
    committed = Committed(trip.version, trip.at, (None,))
    outcomes: Decided = []
    for batch in batches:
        op = cast(Complete, batch.ops[0])
        row = (trip.ns, op.ref.id, op.token, trip.version, op.result, op.raw, trip.at)
        completed = trip.execute(statements.TASK_COMPLETE, row).rowcount == 1
        trip.changed = trip.changed or completed
        outcomes.append(committed if completed else None)
    return outcomes


IN_ORDER = frozenset({enqueue_all, complete_all})
"""These depend on what other batches of the trip do to the order of tasks, or to dedupe keys."""
