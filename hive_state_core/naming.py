"""An entity as the rows of the replication port name it: kind, name, part and seq.

name and part are (collection, key), (stream, group) or (id, ''); seq is that of a delivery, else 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from hive_state_core.model import (
    CommitRef,
    EntityRef,
    GroupRef,
    PendingRef,
    QueueRef,
    RecordRef,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import Kind

_KINDS: dict[type, Kind] = {
    RecordRef: "record",
    TaskRef: "task",
    QueueRef: "queue",
    CommitRef: "commit",
    StreamRef: "stream",
    GroupRef: "group",
    PendingRef: "pending",
}
_REFS: dict[str, Any] = {kind: ref for ref, kind in _KINDS.items()}
_PARTS: dict[str, int] = {"record": 2, "group": 2, "pending": 3}


class Name(NamedTuple):
    """`key` are the parts of the ref, as many as the kind has."""

    kind: Kind
    key: tuple[str | int, ...]

    @property
    def place(self) -> tuple[str | int, ...]:
        """(kind, name, part, seq)"""
        return (self.kind, *self.key, *("", 0)[len(self.key) - 1 :])


def name_of(ref: EntityRef) -> Name:
    """The inverse of `ref_of`."""
    return Name(_KINDS[type(ref)], msgspec.structs.astuple(ref))


def ref_of(kind: str, name: str, part: str, seq: int) -> EntityRef:
    """The entity of a row."""
    ref: EntityRef = _REFS[kind](*(name, part, seq)[: _PARTS.get(kind, 1)])
    return ref
