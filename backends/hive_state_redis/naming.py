"""An entity as the marks and Gones name it: a letter, and behind NULs the parts of its name."""

from __future__ import annotations

from collections.abc import Callable

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

_LETTERS: dict[type, str] = {
    RecordRef: "r",
    TaskRef: "t",
    QueueRef: "q",
    CommitRef: "c",
    StreamRef: "s",
    GroupRef: "g",
    PendingRef: "p",
}
_REFS: dict[str, Callable[..., EntityRef]] = {
    **{letter: kind for kind, letter in _LETTERS.items()},
    "p": lambda stream, group, seq: PendingRef(stream, group, int(seq)),
}


def parts_of(ref: EntityRef) -> list[str]:
    """The letter, then the parts as text."""
    return [_LETTERS[type(ref)], *map(str, msgspec.structs.astuple(ref))]


def place_of(ref: EntityRef) -> str:
    return "\0".join(parts_of(ref))


def ref_at(place: bytes) -> EntityRef:
    """The inverse of `place_of`."""
    letter, *parts = place.decode().split("\0")
    return _REFS[letter](*parts)
