"""What becomes of a batch.

Batches are decided one after the other, each on a layer of its own over what the earlier ones of the trip
left: that settles children and dedupe keys that several of them touch. Checks and leases look at the
pre-state. A refused batch's layer is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from hive_state_core import outcomes
from hive_state_core.kv.applying import Applying, present
from hive_state_core.kv.entities import Entities
from hive_state_core.kv.keys import key_of
from hive_state_core.kv.refusal import Refusal
from hive_state_core.kv.trip import Trip
from hive_state_core.model import (
    CommitImage,
    CommitRef,
    EntityRef,
    PendingRef,
    RecordImage,
    TaskRef,
)
from hive_state_core.spi import (
    Ack,
    Batch,
    Check,
    Committed,
    CreatedIs,
    Enqueue,
    ExtendDeliveries,
    LeaseIs,
    Nack,
    OpResult,
    Outcome,
    Reason,
    Refused,
    VersionIs,
)


def named(batches: Sequence[Batch]) -> list[bytes]:
    """The keys of all that the batches name, to be read at once."""
    return [key_of(ref) for ref in dict.fromkeys(ref for batch in batches for ref in _refs(batch))]


def _refs(batch: Batch) -> Iterator[EntityRef]:
    if batch.commit_id is not None:
        yield CommitRef(batch.commit_id)
    for check in batch.checks:
        yield check.ref
    for op in batch.ops:
        yield op.ref
        if isinstance(op, Enqueue):
            yield from map(TaskRef, op.depends_on)
        elif isinstance(op, Ack | Nack | ExtendDeliveries):
            yield from (PendingRef(op.ref.stream, op.ref.group, seq) for seq, _ in op.deliveries)


async def decide(trip: Trip, batch: Batch) -> Outcome:
    """The outcome; what the batch changed is in `trip.after`, unless it was refused."""
    if batch.commit_id is not None:
        known = await trip.before.commit(batch.commit_id)
        if known is not None:
            return _recall(known, batch)
    for index, check in enumerate(batch.checks):
        refused = await _failed_check(trip, check)
        if refused is not None:
            return replace(refused, index=index, in_check=True)
    applying = Applying(trip)
    results: list[OpResult] = []
    for index, op in enumerate(batch.ops):
        try:
            results.append(await applying.apply(op))
        except Refusal as refusal:
            return replace(refusal.refused, index=index)
    return await _accept(trip, batch, applying.state, tuple(results))


def _recall(known: CommitImage, batch: Batch) -> Outcome:
    """The answer of the first time, if it was this batch."""
    if known.fingerprint == batch.fingerprint:
        return outcomes.load(known.results)
    return Refused(Reason.COMMIT_ID, known.ref, index=0, in_check=False)


async def _accept(trip: Trip, batch: Batch, state: Entities, results: tuple[OpResult, ...]) -> Committed:
    committed = Committed(trip.version if state.changes() else 0, trip.at, results)
    if batch.commit_id is not None:
        memory = CommitImage(
            ref=CommitRef(batch.commit_id),
            version=trip.version,
            fingerprint=batch.fingerprint or b"",
            results=outcomes.dump(committed),
            at=trip.at,
        )
        await state.put_commit(memory)
    trip.after.absorb(state)
    return committed


async def _failed_check(trip: Trip, check: Check) -> Refused | None:
    """The refusal, its index still open; None if the check holds."""
    if isinstance(check, LeaseIs):
        expected, actual, reason = check.token, await _token(trip.before, check.ref), Reason.LEASE
        holds = actual == expected != 0
    else:
        record = present(await trip.before.record(check.ref), trip.at)
        expected, reason = check.version, Reason.VERSION
        actual = 0 if record is None else _version(record, check)
        holds = actual == expected
    return None if holds else Refused(reason, check.ref, 0, False, expected, actual)


def _version(record: RecordImage, check: VersionIs | CreatedIs) -> int:
    return record.created_version if isinstance(check, CreatedIs) else record.version


async def _token(state: Entities, ref: TaskRef) -> int:
    """The token of the current lease, 0 if there is none."""
    task = await state.task(ref.id)
    return 0 if task is None else task.token
