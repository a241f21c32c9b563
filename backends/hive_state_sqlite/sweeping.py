"""`sweep`: one bounded round of house-keeping, in one trip."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.spi import Retention, Swept
from hive_state_sqlite import statements
from hive_state_sqlite.claiming import turn_queue
from hive_state_sqlite.trip import Trip


def sweep(trip: Trip, limit: int, retention: Retention) -> Swept:
    """What was turned or removed; each kind is bounded by `limit`."""
    expired = _run(trip, statements.SWEEP_RECORDS, (trip.ns, trip.version, trip.at, limit))
    tombstones = _older(trip, statements.SWEEP_TOMBSTONES, (trip.ns,), retention.tombstones, limit)
    tombstones += _run(trip, statements.SWEEP_GONE, (trip.ns, limit))
    commits = _older(trip, statements.SWEEP_COMMITS, (trip.ns,), retention.commits, limit)
    queues = trip.db.execute(statements.QUEUES_WITH_TASKS, {"ns": trip.ns}).fetchall()
    removed = [
        _ended(trip, [queue for (queue,) in queues], state, age, limit)
        for state, age in (
            ("completed", retention.completed),
            ("cancelled", retention.cancelled),
            ("dead", retention.dead),
        )
    ]
    turned = [turn_queue(trip, queue, limit) for (queue,) in queues]
    counts = [expired, tombstones, commits, *removed, *(count for pair in turned for count in pair)]
    return Swept(
        records_expired=expired,
        tombstones_removed=tombstones,
        tasks_promoted=sum(promoted for _, promoted in turned),
        leases_expired=sum(leases for leases, _ in turned),
        tasks_removed=sum(removed),
        commits_removed=commits,
        more=max(counts) >= limit,
    )


def _ended(trip: Trip, queues: Sequence[str], state: str, age: int | None, limit: int) -> int:
    """Remove tasks that ended in this state, as `_older` does."""
    removed = 0
    for queue in queues:
        removed += _older(trip, statements.SWEEP_TASKS, (trip.ns, queue, state), age, limit - removed)
    return removed


def _older(trip: Trip, statement: str, place: Sequence[object], age: int | None, limit: int) -> int:
    """Remove what ended `age` ago or earlier; None = keep it for ever."""
    return 0 if age is None else _run(trip, statement, (*place, trip.at - age, limit))


def _run(trip: Trip, statement: str, arguments: Sequence[object]) -> int:
    count = trip.db.execute(statement, arguments).rowcount
    trip.changed = trip.changed or count > 0
    return count
