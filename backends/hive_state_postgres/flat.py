"""Flat batches as arguments of `hive.commit_flat`: columns of all their parts, and what is decided first.

Flat are batches of Puts, Enqueues without dedupe key and parents, Completes, Appends and Acks, with checks
that do not depend on an absence (but of a record that the batch itself puts).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, cast

import msgspec

from hive_state_core.index_text import dump_index
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Check,
    Complete,
    CreatedIs,
    Enqueue,
    LeaseIs,
    Op,
    Put,
    VersionIs,
)
from hive_state_postgres.rows import dump_names, lane_of

_dump = msgspec.json.Encoder().encode
_LETTERS: dict[type, str] = {Put: "p", Enqueue: "e", Complete: "c", Append: "a", Ack: "k"}


def shape_of(batch: Batch) -> str:
    """A letter for each operation of a flat batch, in parentheses if there are several; g for any other."""
    ops, checks = batch.ops, batch.checks
    if batch.commit_id is not None:
        return "g"
    if len(ops) == 1 and (not checks or is_own_check(batch)):
        return _letter(ops[0])
    letters = "".join(map(_letter, ops))
    if "g" in letters:
        return "g"
    for check in checks:
        if not _flat_check(check, ops):
            return "g"
    return letters if len(ops) == 1 else f"({letters})"


def _letter(op: Op) -> str:
    if (type(op) is Enqueue and (op.dedupe_key is not None or op.depends_on)) or (
        type(op) is Ack and not op.deliveries
    ):
        return "g"
    return _LETTERS.get(type(op), "g")


def _flat_check(check: Check, ops: Sequence[Op]) -> bool:
    if type(check) is VersionIs:  # most often
        return check.version > 0 or _is_put(check, ops)
    return isinstance(check, LeaseIs) or check.version > 0


def _is_put(check: Check, ops: Sequence[Op]) -> bool:
    if type(check) is VersionIs:
        for op in ops:  # no generator: this is asked of each check of each trip, twice
            if type(op) is Put and op.ref == check.ref:
                return True
    return False


def is_quick(batch: Batch) -> bool:
    """Of a flat batch: whether it may go by sets although other batches of the trip do not.

    It is one Put, with at most the check of its own version, or one Enqueue.
    """
    ops, checks = batch.ops, batch.checks
    if len(ops) != 1 or not isinstance(ops[0], Put | Enqueue):
        return False
    return not checks or is_own_check(batch)


def is_own_check(batch: Batch) -> bool:
    ops, checks = batch.ops, batch.checks
    return len(ops) == len(checks) == 1 and type(checks[0]) is VersionIs and checks[0].ref == ops[0].ref


Row = tuple[Any, ...]
_NOTHING_DECIDED = (None, None, None, (), (), (), (), ())


def _columns(rows: Sequence[Row], count: int) -> Sequence[Sequence[Any]]:
    """Arguments, each of which is an array: the values of all rows at one place."""
    return tuple(zip(*rows, strict=True)) if rows else ((),) * count


class Flat:
    """The batches that were added, as arguments."""

    def __init__(self) -> None:
        self._puts: list[Row] = []
        self._tasks: list[Row] = []
        self._ends: list[Row] = []
        self._events: list[Row] = []
        self._streams: dict[str, int] = {}
        self._checks: list[tuple[int, int, Check]] = []
        self._finished: list[tuple[int, int, Complete]] = []  # in batches of several
        self._acks: list[dict[str, Any]] = []
        self._groups: set[tuple[str, str]] = set()
        self.may_hurry: bool = True
        """Whether all checks and leases are of what their batch writes, so that the writes decide them."""

    @property
    def task_ids(self) -> Sequence[str]:
        """Those that are enqueued."""
        return [row[2] for row in self._tasks]

    @property
    def record_locks(self) -> tuple[Sequence[str], Sequence[str]]:
        """Collections and keys of the records that are put or checked."""
        records = [*self._checked(), *(row[1:3] for row in self._puts)]
        collections, keys = _columns(records, 2)
        return collections, keys

    def quick_arguments(self) -> tuple[Any, ...]:
        """From `p_put_places` to `p_requires`."""
        return (*_columns(self._puts, 8), *_columns(self._tasks, 11))

    def arguments(self, careful: bool) -> tuple[Any, ...]:
        """All from `p_put_places` on. Records and tasks are in the order in which they are to be locked.
        `careful`: what batches of several operations depend on is decided before anything is written."""
        self._puts.sort(key=itemgetter(1, 2))
        self._ends.sort(key=itemgetter(1))
        written = (
            *self.quick_arguments(),
            *_columns(self._ends, 5),
            *_columns(self._events, 4),
            list(self._streams),
        )
        return (*written, *(self._decided() if careful else _NOTHING_DECIDED))

    def _decided(self) -> tuple[Any, ...]:
        """From `p_versions` on. Most trips decide nothing beforehand, and need none of it."""
        versions: list[dict[str, Any]] = []
        leases = [_lease(*each, in_check=False) for each in self._finished]
        leased: list[str] = []
        for place, index, check in self._checks:
            if isinstance(check, LeaseIs):
                leases.append(_lease(place, index, check, in_check=True))
                leased.append(check.ref.id)
            else:
                versions.append(_version(place, index, check))
        return (
            _json(versions),
            _json(leases),
            _json(self._acks),
            *_columns(self._checked(), 2),
            leased,
            [stream for stream, _ in self._groups],
            [group for _, group in self._groups],
        )

    def add(self, place: int, ordinal: int, batch: Batch) -> None:
        """`place` in the trip; `ordinal` of its first operation among all of the trip."""
        ops, checks = batch.ops, batch.checks
        if checks and is_own_check(batch):
            self._put(place, cast(Put, ops[0]), cast(VersionIs, checks[0]).version)
            return
        lone = len(ops) == 1 and not checks
        expects: dict[Any, int] = {}
        for index, check in enumerate(checks):
            self._checks.append((place, index, check))
            self.may_hurry &= _is_put(check, ops)
            if type(check) is VersionIs:
                expects[check.ref] = -2 - check.version
        for index, op in enumerate(ops):
            if type(op) is Put:
                self._put(place, op, expects.get(op.ref, -1) if expects else -1)
            elif type(op) is Enqueue:
                self._enqueue(place, ordinal + index, op)
            elif type(op) is Complete:
                self._complete(place, index, op, lone)
            elif type(op) is Append:
                head = self._streams.setdefault(op.ref.stream, len(self._streams) + 1)
                self._events.append((place, head, op.body, op.raw))
            else:
                self._ack(place, index, cast(Ack, op))

    def _complete(self, place: int, index: int, op: Complete, lone: bool) -> None:
        token = op.token if lone else -op.token
        self._ends.append((place, op.ref.id, token, op.result, op.raw))
        if not lone:
            self._finished.append((place, index, op))
            self.may_hurry &= op.token > 0

    def _checked(self) -> list[Row]:
        """Collection and key of each record that is checked beside what its batch does."""
        checks = [check for _, _, check in self._checks if not isinstance(check, LeaseIs)]
        return [(check.ref.collection, check.ref.key) for check in checks]

    def _put(self, place: int, op: Put, expect: int) -> None:
        index = dump_index(op.index) if op.index else None
        ref = op.ref
        self._puts.append((place, ref.collection, ref.key, expect, op.value, op.raw, index, op.ttl))

    def _enqueue(self, place: int, ordinal: int, op: Enqueue) -> None:
        requires = op.requires
        parts = (op.ref.id, op.queue, op.payload, op.raw, op.priority, op.delay, op.max_attempts)
        self._tasks.append((place, ordinal, *parts, lane_of(requires), dump_names(requires)))

    def _ack(self, place: int, index: int, op: Ack) -> None:
        stream, group = op.ref.stream, op.ref.group
        self._groups.add((stream, group))
        self.may_hurry = False
        for seq, token in op.deliveries:
            self._acks.append({"z": place, "i": index, "s": stream, "g": group, "q": seq, "e": token})


def _version(place: int, index: int, check: VersionIs | CreatedIs) -> dict[str, Any]:
    """An item of `p_versions`."""
    ref, created = check.ref, isinstance(check, CreatedIs)
    item = {"z": place, "i": index, "k": True}
    return {**item, "c": ref.collection, "y": ref.key, "e": check.version, "w": created}


def _lease(place: int, index: int, held: LeaseIs | Complete, in_check: bool) -> dict[str, Any]:
    """An item of `p_leases`."""
    return {"z": place, "i": index, "k": in_check, "t": held.ref.id, "e": held.token}


def _json(items: Sequence[dict[str, Any]]) -> str | None:
    return _dump(items).decode() if items else None
