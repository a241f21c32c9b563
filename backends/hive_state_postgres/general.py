"""Batches of the general path as JSON, with their values and locks beside it (see `sql/fn_commit.sql`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_state_core.index_text import dump_index
from hive_state_core.model import GroupRef, RecordRef, StreamRef
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
    VersionIs,
)
from hive_state_postgres.rows import lane_of

Item = dict[str, Any]

_dump = msgspec.json.Encoder().encode


class General:
    """The batches that were added, encoded. Places in `values` count from 1."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.collections: list[str] = []
        self.keys: list[str] = []
        self.ids: list[str] = []
        self.completes: list[str] = []
        self.dedupe_queues: list[str] = []
        self.dedupe_keys: list[str] = []
        self.redrives: list[str] = []
        self.queues: list[str] = []
        self.streams: set[str] = set()
        self.groups: set[GroupRef] = set()
        self.wholes: set[str] = set()
        self._items: list[Item] = []

    def add(self, place: int, ordinal: int, batch: Batch) -> None:
        """`place` in the trip; `ordinal` of its first operation among all of the trip."""
        self._items.append(self._batch(place, ordinal, batch))

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
            list(self.streams),
            [ref.stream for ref in self.groups],
            [ref.group for ref in self.groups],
            list(self.wholes),
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
        if several and isinstance(op, _DECIDED_BY_ABSENCE):
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

    # -- streams and groups

    def _stream(self, kind: str, ref: StreamRef | GroupRef) -> Item:
        """Of an operation that looks at the head of the stream."""
        self.streams.add(ref.stream)
        return {"k": kind, "s": ref.stream}

    def _group(self, kind: str, ref: GroupRef) -> Item:
        self.groups.add(ref)
        return {"k": kind, "s": ref.stream, "g": ref.group}

    def _append(self, op: Append, _: int) -> Item:
        return {**self._stream("append", op.ref), "v": self._value(op.body), "r": op.raw}

    def _create_group(self, op: CreateGroup, _: int) -> Item:
        self.streams.add(op.ref.stream)
        return {**self._group("create_group", op.ref), "e": op.position, "m": op.max_deliveries}

    def _seek(self, op: Seek, _: int) -> Item:
        self.streams.add(op.ref.stream)
        return {**self._group("seek", op.ref), "e": op.position}

    def _drop_group(self, op: DropGroup, _: int) -> Item:
        self.streams.add(op.ref.stream)
        return self._group("drop_group", op.ref)

    def _trim(self, op: Trim, _: int) -> Item:
        self.wholes.add(op.ref.stream)
        return {**self._stream("trim", op.ref), "e": op.first, "r": op.force}

    def _drop_stream(self, op: DropStream, _: int) -> Item:
        self.wholes.add(op.ref.stream)
        return self._stream("drop_stream", op.ref)

    def _ack(self, op: Ack, _: int) -> Item:
        return {**self._group("ack", op.ref), "d": op.deliveries}

    def _nack(self, op: Nack, _: int) -> Item:
        item = {**self._group("nack", op.ref), "d": op.deliveries}
        return item | {"l": op.retry_in, "x": op.error, "r": op.spent}

    def _extend_deliveries(self, op: ExtendDeliveries, _: int) -> Item:
        return {**self._group("extend", op.ref), "d": op.deliveries, "l": op.lease}


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
    Append: General._append,
    CreateGroup: General._create_group,
    Ack: General._ack,
    Nack: General._nack,
    ExtendDeliveries: General._extend_deliveries,
    Seek: General._seek,
    DropGroup: General._drop_group,
    Trim: General._trim,
    DropStream: General._drop_stream,
}
_DECIDED_BY_ABSENCE = (Delete, Touch, Cancel, Redrive, Take, Prioritize, DropGroup, Trim, DropStream)
"""That something is not there is a result of these, and they then lock nothing."""


def _may_refuse(op: Op) -> bool:
    """Whether the operation may refuse its batch, which after a write of the batch takes a savepoint."""
    return isinstance(op, Complete | Fail | Release | Extend | Ack | Nack | ExtendDeliveries | Seek) or (
        isinstance(op, Enqueue) and bool(op.depends_on)
    )
