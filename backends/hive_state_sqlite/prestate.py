"""What the batches of a trip are decided from: read at once, before anything is decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from hive_state_core.model import RecordRef, TaskImage, TaskRef
from hive_state_core.spi import KEEP_TTL, Batch, Enqueue, Put
from hive_state_sqlite import rows, statements
from hive_state_sqlite.trip import Trip

_dump_keys = msgspec.json.Encoder().encode


class TaskStates(NamedTuple):
    """`parents`: ids of those that have children in the store."""

    images: dict[str, TaskImage | None]
    parents: set[str]


class RecordState(NamedTuple):
    """What a record is decided from."""

    version: int
    created_version: int
    expires_at: int | None


def load(trip: Trip, batches: Sequence[Batch]) -> tuple[dict[RecordRef, RecordState], TaskStates]:
    """The present records and the tasks that checks and operations look at. A plain Put looks at none."""
    refs: list[RecordRef] = []
    ids: list[str] = []
    for batch in batches:
        for part in (*batch.checks, *batch.ops):
            ref = part.ref
            if isinstance(ref, TaskRef):
                ids.append(ref.id)
                if isinstance(part, Enqueue):
                    ids += part.depends_on
            elif isinstance(ref, RecordRef) and (type(part) is not Put or part.ttl == KEEP_TTL):
                refs.append(ref)
    return load_records(trip, refs), load_tasks(trip, ids)


def load_records(trip: Trip, refs: Sequence[RecordRef]) -> dict[RecordRef, RecordState]:
    """Those that are present."""
    keys: dict[str, list[RecordRef]] = defaultdict(list)
    for ref in refs:
        keys[ref.collection].append(ref)
    records: dict[RecordRef, RecordState] = {}
    for collection, wanted in keys.items():
        arguments = (trip.ns, collection, _dump_keys([ref.key for ref in wanted]).decode())
        for place, version, created_version, expires_at in trip.db.execute(
            statements.RECORDS_STATE, arguments
        ):
            if expires_at is None or expires_at > trip.at:
                records[wanted[place]] = RecordState(version, created_version, expires_at)
    return records


def load_tasks(trip: Trip, ids: list[str]) -> TaskStates:
    """Without payloads and results; only those that are there."""
    states = TaskStates({}, set())
    if ids:
        for row in trip.db.execute(statements.TASKS_STATE, (trip.ns, _dump_keys(ids).decode())):
            states.images[row[1]] = rows.task_image(row)
            if row[26]:
                states.parents.add(row[1])
    return states
