"""Batches as arguments of the function `commit`: one MessagePack array of them, and the values beside it.

A batch is [operations, checks, commit id, place of the fingerprint], or nothing but its one operation, behind
which the version may stand that a Put expects; `ops_of` tells them apart. An operation or check is an array
that begins with its code, and then has what the library says at `apply` and `check`. Values are arguments of
their own, named by their place, so that they are never copied into a Lua table. If all batches are alike, one
run stands for them: see `alike.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_state_core.index_text import index_text
from hive_state_core.model import Index
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Cancel,
    Check,
    Complete,
    CreatedIs,
    CreateGroup,
    Delete,
    DropGroup,
    DropStream,
    Enqueue,
    Extend,
    ExtendDeliveries,
    Fail,
    LeaseIs,
    Nack,
    Op,
    Prioritize,
    Put,
    Redrive,
    Release,
    Seek,
    SetPaused,
    Take,
    Touch,
    Trim,
)
from hive_state_redis.alike import is_run, lane_of, lone, name_of, run_of

FIXED_ARGUMENTS = 4
"""Before the values: the batches, the trip's id, the trips whose replies were heard, the news."""

LEASE_IS = 3
"""Code of that check."""
PARENTS = 10
"""Their place in an Enqueue."""

encode = msgspec.msgpack.Encoder().encode
Item = tuple[Any, ...]


def ops_of(batch: Item) -> Sequence[Item]:
    """The operations of what a batch was made of."""
    return (batch,) if isinstance(batch[0], int) else batch[0]


def batches_of(items: Sequence[Item]) -> Sequence[Item]:
    """What the items of a plan stand for. A run stands for as many batches as it has names; of each there is
    only what its answer is read with, the code and the name."""
    first = items[0]
    return [(first[0], name) for name in first[2]] if is_run(first) else items


class Encoded:
    """`plan` and `values` are arguments, `batches` what the plan is made of."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.values: list[bytes] = []
        self.batches: Sequence[Item]
        run = run_of(batches)
        if run is None:
            self.batches = [self._batch(batch) for batch in batches]
            self.plan = encode(self.batches)
        else:
            item = (CODES[run.kind], run.common, run.names, run.numbers)
            self.values = run.values or []
            self.batches, self.plan = batches_of((item,)), encode((item,))

    def _batch(self, batch: Batch) -> Item:
        lone = self._lone(batch)
        if lone is not None:
            return lone
        ops = [self._op(op) for op in batch.ops]
        checks = [self._check(check) for check in batch.checks] if batch.checks else ()
        if batch.commit_id is None:
            return ops, checks
        return ops, checks, batch.commit_id, self._value(batch.fingerprint or b"")

    def _lone(self, batch: Batch) -> Item | None:
        """The one operation of a batch that is `lone`."""
        found = lone(batch)
        if found is None:
            return None
        op, version = found
        return self._op(op) if version is None else (*self._op(op), version)

    def _op(self, op: Op) -> Item:
        kind = type(op)
        code = CODES[kind]
        return _ENCODERS[kind](self, code, op)

    def _check(self, check: Check) -> Item:
        if isinstance(check, LeaseIs):
            return LEASE_IS, check.ref.id, check.token
        code = 2 if isinstance(check, CreatedIs) else 1
        return code, name_of(check.ref), check.version

    def _value(self, value: bytes) -> int:
        self.values.append(value)
        return FIXED_ARGUMENTS + len(self.values)

    # -- records

    def _put(self, code: int, op: Put) -> Item:
        index = self._value(dump_index(op.index)) if op.index else None
        return code, name_of(op.ref), self._value(op.value), op.raw, index, op.ttl

    def _delete(self, code: int, op: Delete) -> Item:
        return code, name_of(op.ref)

    def _touch(self, code: int, op: Touch) -> Item:
        return code, name_of(op.ref), op.ttl

    # -- tasks

    def _enqueue(self, code: int, op: Enqueue) -> Item:
        return (
            code,
            op.ref.id,
            op.queue,
            self._value(op.payload),
            op.raw,
            op.priority,
            op.delay,
            op.max_attempts,
            op.dedupe_key,
            lane_of(op.requires),
            op.depends_on or None,
        )

    def _complete(self, code: int, op: Complete) -> Item:
        result = None if op.result is None else self._value(op.result)
        return code, op.ref.id, op.token, result, op.raw

    def _fail(self, code: int, op: Fail) -> Item:
        return code, op.ref.id, op.token, op.error, op.retry_in

    def _release(self, code: int, op: Release) -> Item:
        return code, op.ref.id, op.token, op.delay

    def _extend(self, code: int, op: Extend) -> Item:
        return code, op.ref.id, op.token, op.lease

    def _named_task(self, code: int, op: Cancel | Redrive) -> Item:
        return code, op.ref.id

    def _take(self, code: int, op: Take) -> Item:
        return code, op.ref.id, op.worker, op.lease

    def _prioritize(self, code: int, op: Prioritize) -> Item:
        return code, op.ref.id, op.priority

    def _pause(self, code: int, op: SetPaused) -> Item:
        return code, op.ref.queue, op.paused

    # -- streams and groups

    def _append(self, code: int, op: Append) -> Item:
        return code, op.ref.stream, self._value(op.body), op.raw

    def _create_group(self, code: int, op: CreateGroup) -> Item:
        return code, op.ref.stream, op.ref.group, op.position, op.max_deliveries

    def _ack(self, code: int, op: Ack) -> Item:
        return code, op.ref.stream, op.ref.group, _flat(op.deliveries)

    def _nack(self, code: int, op: Nack) -> Item:
        return code, op.ref.stream, op.ref.group, _flat(op.deliveries), op.retry_in, op.error, op.spent

    def _extend_deliveries(self, code: int, op: ExtendDeliveries) -> Item:
        return code, op.ref.stream, op.ref.group, _flat(op.deliveries), op.lease

    def _seek(self, code: int, op: Seek) -> Item:
        return code, op.ref.stream, op.ref.group, op.position

    def _drop_group(self, code: int, op: DropGroup) -> Item:
        return code, op.ref.stream, op.ref.group

    def _trim(self, code: int, op: Trim) -> Item:
        return code, op.ref.stream, op.first, op.force

    def _drop_stream(self, code: int, op: DropStream) -> Item:
        return code, op.ref.stream


def _flat(pairs: Sequence[tuple[int, int]]) -> list[int]:
    return [number for pair in pairs for number in pair]


def dump_index(index: Index) -> bytes:
    """As it lies in the record: field, text, field, text ... as MessagePack."""
    return encode([text for field, value in index for text in (field, index_text(value))])


_ENCODERS: dict[type, Callable[[Encoded, int, Any], Item]] = {
    Put: Encoded._put,
    Delete: Encoded._delete,
    Touch: Encoded._touch,
    Enqueue: Encoded._enqueue,
    Complete: Encoded._complete,
    Fail: Encoded._fail,
    Release: Encoded._release,
    Extend: Encoded._extend,
    Cancel: Encoded._named_task,
    Redrive: Encoded._named_task,
    Take: Encoded._take,
    Prioritize: Encoded._prioritize,
    SetPaused: Encoded._pause,
    Append: Encoded._append,
    CreateGroup: Encoded._create_group,
    Ack: Encoded._ack,
    Nack: Encoded._nack,
    ExtendDeliveries: Encoded._extend_deliveries,
    Seek: Encoded._seek,
    DropGroup: Encoded._drop_group,
    Trim: Encoded._trim,
    DropStream: Encoded._drop_stream,
}
CODES: dict[type, int] = {kind: code for code, kind in enumerate(_ENCODERS, 1)}
"""As in the scripts: records up to Touch, tasks up to SetPaused, then streams and groups."""
