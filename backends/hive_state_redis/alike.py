"""Runs: batches of one operation each that do the same to different entities.

A trip of a crowd mostly is one. What its operations have in common is written once, and what differs is in
columns, which the library hands to Redis's commands as they are: `lua/commit_alike.lua`.

A run is [code, what they have in common, names, numbers or nothing]. The values are the arguments behind the
fixed ones, one for each name, if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hive_state_core.limits import TRIP_BATCHES
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Complete, Enqueue, Op, Put, VersionIs


class Run(NamedTuple):
    """`numbers`: the versions that Puts expect, or the tokens of Completes."""

    kind: type
    common: tuple[Any, ...]
    names: list[str]
    numbers: list[int] | None
    values: list[bytes] | None


def is_run(item: Sequence[Any]) -> bool:
    """Whether an item of a plan is one, and no batch: it begins with a code, but no name comes behind it."""
    return isinstance(item[0], int) and not isinstance(item[1], str)


def run_of(batches: Sequence[Batch]) -> Run | None:
    """All of them as one; None if they are not plain, or not alike, or if it is one only, which is quicker
    without columns."""
    if not 1 < len(batches) <= TRIP_BATCHES or not batches[0].ops:
        return None
    kind = type(batches[0].ops[0])
    columns = _COLUMNS.get(kind)
    if columns is None:
        return None
    common: Any = None
    names: list[str] = []
    numbers: list[Any] = []
    values: list[Any] = []
    for batch in batches:
        found = lone(batch)
        if found is None or type(found[0]) is not kind:
            return None
        parts = columns(*found)
        if parts is None or (common is not None and parts[0] != common):
            return None
        common, name, number, value = parts
        names.append(name)
        numbers.append(number)
        values.append(value)
    if len({*names}) < len(names):
        return None
    return Run(kind, common, names, *[None if column[0] is None else column for column in (numbers, values)])


def lone(batch: Batch) -> tuple[Op, int | None] | None:
    """The one operation of a batch that has nothing else, or that is a Put and checks its own version: this
    comes behind it."""
    ops, checks = batch.ops, batch.checks
    if len(ops) != 1 or batch.commit_id is not None or len(checks) > 1:
        return None
    op = ops[0]
    if not checks:
        return op, None
    check = checks[0]
    if type(op) is Put and type(check) is VersionIs and check.ref == op.ref:
        return op, check.version
    return None


def name_of(ref: RecordRef) -> str:
    """Collection and key."""
    return f"{ref.collection}\0{ref.key}"


def lane_of(requires: Sequence[str]) -> str:
    """Equal for tasks with equal requirements; '' for none."""
    return "\0".join(requires)


# What an operation gives to a run: what all have in common, its name, number, value. None: it is not plain.

_Parts = tuple[tuple[Any, ...], str, int | None, bytes | None]


def _put(op: Put, version: int | None) -> _Parts | None:
    if op.index or op.ttl is not None:
        return None
    return (op.raw, version is not None), name_of(op.ref), version, op.value


def _enqueue(op: Enqueue, _: None) -> _Parts | None:
    if op.delay or op.dedupe_key is not None or op.depends_on:
        return None
    return (op.queue, op.raw, op.priority, op.max_attempts, lane_of(op.requires)), op.ref.id, None, op.payload


def _complete(op: Complete, _: None) -> _Parts:
    return (op.raw, op.result is not None), op.ref.id, op.token, op.result


_COLUMNS: dict[type, Callable[[Any, Any], _Parts | None]] = {
    Put: _put,
    Enqueue: _enqueue,
    Complete: _complete,
}
