"""The batches of a trip as arguments of `hive.commit_simple`, or of `hive.commit` where one of them is more.

Simple are batches of one Put (with at most the check that its record has some version), of one Enqueue
without dedupe key and parents, and, if no other batch of the trip is more than that, of one Complete or
one Append.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hive_state_core.spi import Append, Batch, Complete, Enqueue, Put, VersionIs
from hive_state_postgres.general import General
from hive_state_postgres.rows import dump_index, dump_names, lane_of

Placed = tuple[int, int, Batch]
"""A batch with its place in the trip, and the ordinal of its first operation."""


class Columns:
    """Lists that are arguments: each is one array."""

    __slots__ = ("lists",)

    def __init__(self, count: int) -> None:
        self.lists: list[list[Any]] = [[] for _ in range(count)]

    def add(self, *values: Any) -> None:
        for column, value in zip(self.lists, values, strict=True):
            column.append(value)


_NO_PUTS = ((),) * 8
_NO_TASKS = ((),) * 10
_NO_ENDS = ((),) * 5
_NO_EVENTS = ((),) * 4


class Encoded:
    """`shape`: a letter for each batch: p, e, c, a, or g for the general path; `simple`: no g is there."""

    __slots__ = ("arguments", "shape", "simple", "task_ids")

    def __init__(self, batches: Sequence[Batch]) -> None:
        puts, tasks = Columns(8), Columns(10)
        orders: list[int] = []
        general: list[Placed] = []
        others: list[Placed] = []  # go with the general ones, if there are any
        letters: list[str] = []
        ordinal = 0  # of the operation within the trip: the order of its task
        for place, batch in enumerate(batches):
            letter = _letter(batch)
            letters.append(letter)
            if letter == "p":
                _add_put(puts, place, batch)
            elif letter == "e":
                _add_enqueue(tasks, place, batch.ops[0])
                orders.append(ordinal)
            elif letter == "g":
                general.append((place, ordinal, batch))
            else:
                others.append((place, ordinal, batch))
            ordinal += len(batch.ops)
        self.task_ids: list[str] = tasks.lists[1]
        self.simple = not general
        put_arguments = puts.lists if puts.lists[0] else _NO_PUTS
        task_arguments = tasks.lists if orders else _NO_TASKS
        if self.simple:
            self.arguments: tuple[Any, ...] = (*put_arguments, *task_arguments, *_simple(others))
        else:
            for place, _, _ in others:
                letters[place] = "g"
            rest = General(sorted([*general, *others], key=_by_place))
            rest.lock_records(puts.lists[1], puts.lists[2])
            places, *columns = task_arguments
            self.arguments = (*put_arguments, places, orders, *columns, *rest.arguments())
        self.shape = "".join(letters)


def _simple(others: Sequence[Placed]) -> tuple[Any, ...]:
    """The arguments for completions and appends."""
    ends, events = Columns(5), Columns(3)
    heads: dict[str, int] = {}
    for place, _, batch in others:
        op: Any = batch.ops[0]
        if type(op) is Append:
            events.add(heads.setdefault(op.ref.stream, len(heads) + 1), op.body, op.raw)
        else:
            ends.add(place, op.ref.id, op.token, op.result, op.raw)
    end_arguments = ends.lists if ends.lists[0] else _NO_ENDS
    return (*end_arguments, *((list(heads), *events.lists) if heads else _NO_EVENTS))


def _by_place(item: Placed) -> int:
    return item[0]


def _letter(batch: Batch) -> str:
    ops = batch.ops
    if len(ops) != 1 or batch.commit_id is not None:
        return "g"
    op = ops[0]
    kind = type(op)
    checks = batch.checks
    if kind is Put:
        if not checks:
            return "p"
        if len(checks) == 1 and type(checks[0]) is VersionIs and checks[0].ref == op.ref:
            return "p"
    elif not checks:
        if kind is Enqueue and op.dedupe_key is None and not op.depends_on:  # type: ignore[union-attr]
            return "e"
        if kind is Complete:
            return "c"
        if kind is Append:
            return "a"
    return "g"


def _add_put(puts: Columns, place: int, batch: Batch) -> None:
    op: Any = batch.ops[0]
    expect = batch.checks[0].version if batch.checks else -1  # type: ignore[union-attr]
    index = dump_index(op.index) if op.index else None
    puts.add(place, op.ref.collection, op.ref.key, expect, op.value, op.raw, index, op.ttl)


def _add_enqueue(tasks: Columns, place: int, op: Any) -> None:
    requires = op.requires
    tasks.add(
        place,
        op.ref.id,
        op.queue,
        op.payload,
        op.raw,
        op.priority,
        op.delay,
        op.max_attempts,
        lane_of(requires),
        dump_names(requires),
    )
