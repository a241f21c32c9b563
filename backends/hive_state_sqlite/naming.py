"""How the tables of the replication port name an entity: by its kind, name, part and seq."""

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


class Name(NamedTuple):
    """`key` are the parts of the ref."""

    kind: Kind
    key: tuple[str | int, ...]

    @property
    def place(self) -> tuple[str | int, ...]:
        """(kind, name, part, seq)"""
        name, part, seq = (*self.key, *("", 0)[len(self.key) - 1 :])
        return self.kind, name, part, seq


def name_of(ref: EntityRef) -> Name:
    return Name(_KINDS[type(ref)], msgspec.structs.astuple(ref))


def ref_of(kind: str, name: str, part: str, seq: int) -> EntityRef:
    """The entity of a row."""
    parts = {"record": (name, part), "group": (name, part), "pending": (name, part, seq)}.get(kind, (name,))
    ref: EntityRef = _REFS[kind](*parts)
    return ref
