"""What operations ask of the trip that carries them: what they may not share, what the driver must offer."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from hive_state_core.features import Facility
from hive_state_core.model import CommitRef, DedupeRef, GroupRef, PendingRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Cancel,
    Claimed,
    ClaimedTasks,
    ClaimEvents,
    ClaimRequest,
    Complete,
    Delete,
    Enqueue,
    Extend,
    ExtendDeliveries,
    Fail,
    Nack,
    Op,
    Prioritize,
    Put,
    Redrive,
    Release,
    SetPaused,
    Take,
    Touch,
)

Keys = Sequence[Hashable]

_SIMPLE = frozenset(
    {Put, Delete, Touch, Complete, Fail, Release, Extend, Cancel, Redrive, Take, Prioritize, SetPaused}
)
"""Operations that touch what they name, and nothing beside it that could meet another batch."""


def conflict_keys(batch: Batch) -> tuple[Keys, Keys]:
    """What a batch must have for itself in a trip, and what it may share with batches that only look
    at it too (see `spi`, the trip)."""
    ops, checks = batch.ops, batch.checks
    if len(ops) == 1 and batch.commit_id is None and _is_simple(ops[0]):
        ref = ops[0].ref
        if not checks or (len(checks) == 1 and checks[0].ref == ref):
            return (ref,), ()
    keys: list[Hashable] = []
    shared: list[Hashable] = []
    for op in ops:
        if type(op) in _SIMPLE:
            keys.append(op.ref)
            continue
        if type(op) is Append:
            shared.append(op.ref)
            continue
        if isinstance(op, Ack | Nack | ExtendDeliveries):
            stream, group = op.ref.stream, op.ref.group
            keys.extend([PendingRef(stream, group, seq) for seq, _ in op.deliveries])
            shared += (op.ref, StreamRef(stream))
            continue
        keys.append(op.ref)
        if isinstance(op.ref, GroupRef):
            shared.append(StreamRef(op.ref.stream))
        elif type(op) is Enqueue:
            if op.dedupe_key is not None:
                keys.append(DedupeRef(op.queue, op.dedupe_key))
            shared.extend(map(TaskRef, op.depends_on))
    if batch.commit_id is not None:
        keys.append(CommitRef(batch.commit_id))
    if checks:  # what is had already need not be shared: a trip in which nothing is shared is sooner made
        had = frozenset(keys)
        shared += [check.ref for check in checks if check.ref not in had]
    return keys, shared


def _is_simple(op: Op) -> bool:
    return type(op) in _SIMPLE or (type(op) is Enqueue and op.dedupe_key is None and not op.depends_on)


def giving_back(request: ClaimRequest, claimed: Claimed) -> Iterator[Op]:
    """Operations that undo a claim."""
    if isinstance(claimed, ClaimedTasks):
        for task in claimed.tasks:
            yield Release(task.ref, task.token)
    elif isinstance(request, ClaimEvents) and claimed.deliveries:
        deliveries = tuple([(each.event.seq, each.token) for each in claimed.deliveries])
        yield Nack(request.ref, deliveries, retry_in=0, spent=False)


WANTED_BY_OPS = frozenset({Facility.TASKS, Facility.DEPENDENCIES, Facility.REQUIREMENTS, Facility.STREAMS})
"""All that `facilities_of` may say."""


def facilities_of(op: Op) -> Sequence[Facility]:
    """What a driver must offer to be given this operation."""
    if isinstance(op, Put | Delete | Touch):
        return ()
    if isinstance(op.ref, StreamRef | GroupRef):
        return (Facility.STREAMS,)
    needed = [Facility.TASKS]
    if isinstance(op, Enqueue):
        if op.requires:
            needed.append(Facility.REQUIREMENTS)
        if op.depends_on:
            needed.append(Facility.DEPENDENCIES)
    return needed
