"""A trip of one batch with one operation, by a function of its own: few arguments, few statements.

A lone caller waits for each of them, and has nobody to share them with.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from hive_state_core.index_text import dump_index
from hive_state_core.spi import Append, Batch, ClaimRequest, ClaimTasks, Complete, Enqueue, Put
from hive_state_postgres.flat import is_own_check
from hive_state_postgres.rows import lane_of

Call = tuple[str, str, tuple[str, ...], tuple[Any, ...]]
"""(name of the statement, shape of the trip, ids of tasks it enqueues, arguments after the trip's id)"""

ONE_TASK = "[[1,1]]"
"""The shape of a claim trip of one request for one task, see `claiming.Asked`."""


def call_alone(batch: Batch) -> Call | None:
    """None: the batch has to travel as others do."""
    ops, checks = batch.ops, batch.checks
    if len(ops) != 1 or batch.commit_id is not None:
        return None
    (op,) = ops
    if type(op) is Put and (not checks or is_own_check(batch)):
        expect = checks[0].version if checks else -1  # type: ignore[union-attr]
        return _put(op, expect)
    if checks:
        return None
    if type(op) is Complete:
        return "complete_alone", "c", (), (op.ref.id, op.token, op.result, op.raw)
    if type(op) is Enqueue and op.dedupe_key is None and not op.depends_on:
        return _enqueue(op)
    if type(op) is Append:
        return "append_alone", "a", (), (op.ref.stream, op.body, op.raw)
    return None


def _put(op: Put, expect: int) -> Call:
    index = dump_index(op.index) if op.index else None
    return "put_alone", "p", (), (op.ref.collection, op.ref.key, expect, op.value, op.raw, index, op.ttl)


def _enqueue(op: Enqueue) -> Call:
    id, requires = op.ref.id, op.requires
    lane = lane_of(requires)
    arguments = (id, op.queue, op.payload, op.raw, op.priority, op.delay, op.max_attempts, lane, requires)
    return "enqueue_alone", "e", (id,), arguments


def claims_one(request: ClaimRequest) -> TypeGuard[ClaimTasks]:
    """Whether it may be served by `hive.claim_alone`."""
    return type(request) is ClaimTasks and request.limit == 1 and not request.capabilities
