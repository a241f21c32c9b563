"""The set-based path: batches of one plain operation, each decided by the statement that writes it.

It gives what the general path (`committing`) would give, without reading first and without bookkeeping for
each batch: only if fewer rows were written than there are batches, those are looked for that got the trip's
version. What a statement cannot decide is left to that path.
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
    Op,
    Outcome,
    Put,
    Reason,
    Refused,
    VersionIs,
)
from hive_state_sqlite import rows, statements
from hive_state_sqlite.prestate import load_records, load_tasks
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


def is_plain(batch: Batch, kind: type[Op]) -> bool:
    """Whether it is one operation of this kind, and nothing else."""
    ops = batch.ops
    return len(ops) == 1 and type(ops[0]) is kind and not batch.checks and batch.commit_id is None


def put_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Puts without a check. Most records are there and keep all but their values: that is tried first."""
    puts = [_row_of(trip, batch) for batch in batches]
    if trip.executemany(statements.RECORD_OVERWRITE, puts).rowcount != len(puts):
        trip.executemany(statements.RECORD_PUT, puts)  # writing one twice does no harm
    trip.changed = True
    return [Committed(trip.version, trip.at, (None,))] * len(puts)


def swap_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Puts with a check of the version of their own record."""
    puts = [_row_of(trip, batch) for batch in batches]
    versions = [cast(VersionIs, batch.checks[0]).version for batch in batches]
    committed = Committed(trip.version, trip.at, (None,))
    swaps = [(*put, version) for put, version in zip(puts, versions, strict=True)]
    written = trip.executemany(statements.RECORD_SWAP, swaps).rowcount
    trip.changed = trip.changed or written > 0
    if written == len(swaps):
        return [committed] * len(swaps)
    refs = [cast(RecordRef, batch.ops[0].ref) for batch in batches]
    present = load_records(trip, refs)
    outcomes: Decided = []
    for put, ref, expected in zip(puts, refs, versions, strict=True):
        actual = present[ref].version if ref in present else 0
        if actual == expected:
            trip.execute(statements.RECORD_PUT, put)
            trip.changed = True
        elif actual != trip.version:
            outcomes.append(Refused(Reason.VERSION, ref, 0, True, expected, actual))
            continue
        outcomes.append(committed)
    return outcomes


def _row_of(trip: Trip, batch: Batch) -> rows.Row:
    op = cast(Put, batch.ops[0])
    expires_at = None if op.ttl is None else trip.at + op.ttl
    return rows.put_row(trip.ns, op, trip.at, trip.version, expires_at)


def enqueue_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Enqueues that nothing but their ids can keep from being created."""
    ops = [cast(Enqueue, batch.ops[0]) for batch in batches]
    inserts = [rows.enqueue_row(trip.ns, op, trip.at, trip.version, trip.next_order()) for op in ops]
    written = _write(trip, statements.TASK_INSERT, inserts)
    outcomes: Decided = []
    for op in ops:
        created = op.ref.id in written
        version = trip.version if created else 0
        outcomes.append(Committed(version, trip.at, (Enqueued(op.ref.id, created),)))
    return outcomes


def complete_all(trip: Trip, batches: Sequence[Batch]) -> Decided:
    """Completions; of tasks without children, as far as their leases are current."""
    ops = [cast(Complete, batch.ops[0]) for batch in batches]
    updates = [(trip.ns, op.ref.id, op.token, trip.version, op.result, op.raw, trip.at) for op in ops]
    written = _write(trip, statements.TASK_COMPLETE, updates)
    committed = Committed(trip.version, trip.at, (None,))
    return [committed if op.ref.id in written else None for op in ops]


def _write(trip: Trip, statement: str, tasks: Sequence[rows.Row]) -> set[str]:
    """Run the statement for each of the tasks; the ids of those that it wrote."""
    ids = [task[1] for task in tasks]
    count = trip.executemany(statement, tasks).rowcount
    trip.changed = trip.changed or count > 0
    if count == len(ids):
        return set(ids)
    return {id for id, task in load_tasks(trip, ids).images.items() if task and task.version == trip.version}


IN_ORDER = frozenset({enqueue_all, complete_all})
"""These depend on what other batches of the trip do to the order of tasks, or to dedupe keys."""
