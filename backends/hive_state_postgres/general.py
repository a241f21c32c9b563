"""Batches of the general path as JSON, with their values and locks beside it (see `sql/fn_commit.sql`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_state_core.model import RecordRef
from hive_state_core.spi import (
    Batch,
    Cancel,
    Check,
    Complete,
    CreatedIs,
    Delete,
    Enqueue,
    Extend,
    Fail,
    LeaseIs,
    Op,
    Prioritize,
    Put,
    Redrive,
    Release,
    SetPaused,
    Take,
    Touch,
    VersionIs,
)
from hive_state_postgres.rows import dump_index, lane_of

Item = dict[str, Any]

_dump = msgspec.json.Encoder().encode


class General:
    """(place, ordinal of its first operation, batch) of each, encoded. Places in `values` count from 1."""

    def __init__(self, batches: Sequence[tuple[int, int, Batch]]) -> None:
        self.values: list[bytes] = []
        self.collections: list[str] = []
        self.keys: list[str] = []
        self.ids: list[str] = []
        self.completes: list[str] = []
        self.dedupe_queues: list[str] = []
        self.dedupe_keys: list[str] = []
        self.redrives: list[str] = []
        self.queues: list[str] = []
        self._items = [self._batch(place, ordinal, batch) for place, ordinal, batch in batches]

    def lock_records(self, collections: Sequence[str], keys: Sequence[str]) -> None:
        """Records of the other batches: all that a trip locks is locked in one order."""
        self.collections += collections
        self.keys += keys

    def arguments(self) -> tuple[Any, ...]:
        return (
            _dump(self._items).decode(),
            self.values,
            self.collections,
            self.keys,
            self.ids,
            self.completes,
            self.dedupe_queues,
            self.dedupe_keys,
            self.redrives,
            self.queues,
        )

    def _batch(self, place: int, ordinal: int, batch: Batch) -> Item:
        several = len(batch.ops) + len(batch.checks) > 1
        made = {op.ref for op in batch.ops if type(op) is Put}
        item: Item = {
            "z": place,
            "c": [self._check(check, several and check.ref not in made) for check in batch.checks],
            "o": [self._op(op, ordinal + n, several) for n, op in enumerate(batch.ops)],
        }
        if any(map(_may_refuse, batch.ops[1:])):
            item["s"] = 1
        if batch.commit_id is not None:
            item["id"] = batch.commit_id
            item["fp"] = self._value(batch.fingerprint or b"")
        return item

    def _check(self, check: Check, decides: bool) -> Item:
        if isinstance(check, LeaseIs):
            self.ids.append(check.ref.id)
            return {"k": "lease", "t": check.ref.id, "e": check.token}
        kind = "version" if isinstance(check, VersionIs) else "created"
        item = {"k": kind, **self._record(check.ref), "e": check.version}
        if decides and not check.version and not isinstance(check, CreatedIs):
            item["a"] = 1
        return item

    def _op(self, op: Op, ordinal: int, several: bool) -> Item:
        item = _ENCODERS[type(op)](self, op, ordinal)
        if several and isinstance(op, Delete | Touch | Cancel | Redrive | Take | Prioritize):
            item["a"] = 1
        return item

    def _value(self, value: bytes) -> int:
        self.values.append(value)
        return len(self.values)

    def _record(self, ref: RecordRef) -> Item:
        self.collections.append(ref.collection)
        self.keys.append(ref.key)
        return {"c": ref.collection, "y": ref.key}

    def _put(self, op: Put, _: int) -> Item:
        return {
            "k": "put",
            **self._record(op.ref),
            "v": self._value(op.value),
            "r": op.raw,
            "f": dump_index(op.index),
            "l": op.ttl,
        }

    def _delete(self, op: Delete, _: int) -> Item:
        return {"k": "delete", **self._record(op.ref)}

    def _touch(self, op: Touch, _: int) -> Item:
        return {"k": "touch", **self._record(op.ref), "l": op.ttl}

    def _enqueue(self, op: Enqueue, ordinal: int) -> Item:
        item = {
            "k": "enqueue",
            "t": op.ref.id,
            "z": ordinal,
            "q": op.queue,
            "v": self._value(op.payload),
            "r": op.raw,
            "pr": op.priority,
            "l": op.delay,
            "m": op.max_attempts,
            "n": lane_of(op.requires),
            "rq": op.requires,
        }
        self.ids.append(op.ref.id)
        if op.dedupe_key is not None:
            item["d"] = op.dedupe_key
            self.dedupe_queues.append(op.queue)
            self.dedupe_keys.append(op.dedupe_key)
        if op.depends_on:
            item["p"] = op.depends_on
            self.ids += op.depends_on
        return item

    def _task(self, kind: str, op: Any) -> Item:
        self.ids.append(op.ref.id)
        return {"k": kind, "t": op.ref.id}

    def _complete(self, op: Complete, _: int) -> Item:
        self.completes.append(op.ref.id)
        item = {**self._task("complete", op), "e": op.token, "r": op.raw}
        if op.result is not None:
            item["v"] = self._value(op.result)
        return item

    def _fail(self, op: Fail, _: int) -> Item:
        return {**self._task("fail", op), "e": op.token, "x": op.error, "l": op.retry_in}

    def _release(self, op: Release, _: int) -> Item:
        return {**self._task("release", op), "e": op.token, "l": op.delay}

    def _extend(self, op: Extend, _: int) -> Item:
        return {**self._task("extend", op), "e": op.token, "l": op.lease}

    def _cancel(self, op: Cancel, _: int) -> Item:
        return self._task("cancel", op)

    def _redrive(self, op: Redrive, _: int) -> Item:
        self.redrives.append(op.ref.id)
        return self._task("redrive", op)

    def _take(self, op: Take, _: int) -> Item:
        return {**self._task("take", op), "w": op.worker, "l": op.lease}

    def _prioritize(self, op: Prioritize, _: int) -> Item:
        return {**self._task("prioritize", op), "pr": op.priority}

    def _pause(self, op: SetPaused, _: int) -> Item:
        self.queues.append(op.ref.queue)
        return {"k": "pause", "q": op.ref.queue, "r": op.paused}


_ENCODERS: dict[type, Callable[[General, Any, int], Item]] = {
    Put: General._put,
    Delete: General._delete,
    Touch: General._touch,
    Enqueue: General._enqueue,
    Complete: General._complete,
    Fail: General._fail,
    Release: General._release,
    Extend: General._extend,
    Cancel: General._cancel,
    Redrive: General._redrive,
    Take: General._take,
    Prioritize: General._prioritize,
    SetPaused: General._pause,
}


def _may_refuse(op: Op) -> bool:
    """Whether the operation may refuse its batch, which after a write of the batch takes a savepoint."""
    return isinstance(op, Complete | Fail | Release | Extend) or (
        isinstance(op, Enqueue) and bool(op.depends_on)
    )
