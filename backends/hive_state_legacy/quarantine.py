"""The quarantine: rows that could not be taken as they are, with every byte of them, in the target store.

An entry is a record of `ENTRIES`; `hive.records.list("legacy-quarantine", where={"state": "open"})` finds
those that nobody has decided about. Its value says where the row is, what is wrong and what became of it, and
under `cells` the name, storage class and length of each cell. The bytes of all cells, one after the other,
are the records KEY:0000, KEY:0001, ... of `BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b

import msgspec

from hive_state_core import codec
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import RecordImage, RecordRef
from hive_state_legacy.mapping import record_image
from hive_state_legacy.snapshot import Cell, Text
from hive_state_legacy.tables import Row

ENTRIES = "legacy-quarantine"
BYTES = "legacy-quarantine-bytes"

PART = REPLY_BYTES // 2
"""Bytes in one record."""


class State(IntEnum):
    """Later ones replace earlier ones: it is the version of the entry."""

    OPEN = 1  #: blocks: nobody has decided yet
    WAIVED = 2  #: the row is left behind
    SETTLED = 3  #: the row is imported, changed by a rule


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a row. `rule` names the option that settles it, or did so."""

    column: str
    reason: str
    rule: str | None = None


def key_of(row: Row) -> str:
    """Names the row as it is: if the original hive changes it, it is another entry."""
    digest = blake2b(digest_size=8)
    for name, cell in row.cells.items():
        digest.update(f"{name}:{_class(cell)}:{len(_bytes(cell))}:".encode() + _bytes(cell))
    return f"{row.table}:{row.rowid}:{digest.hexdigest()}"


def entry_images(row: Row, state: State, flaw: Flaw, at: int) -> tuple[RecordImage, ...]:
    """The entry, and before it the records of its bytes."""
    key = key_of(row)
    parts = tuple(_parts(b"".join(map(_bytes, row.cells.values()))))
    about = {
        "table": row.table,
        "rowid": row.rowid,
        "column": flaw.column,
        "reason": flaw.reason,
        "rule": flaw.rule,
        "state": state.name.lower(),
        "cells": [[name, _class(cell), len(_bytes(cell))] for name, cell in row.cells.items()],
        "parts": len(parts),
    }
    index = (("state", state.name.lower()), ("table", row.table))
    entry = record_image(RecordRef(ENTRIES, key), codec.encode(about)[0], at, version=state, index=index)
    raws = [
        record_image(RecordRef(BYTES, f"{key}:{number:04}"), part, at, version=1, raw=True)
        for number, part in enumerate(parts)
    ]
    return (*raws, entry)


def _parts(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PART):
        yield data[start : start + PART]


def _class(cell: Cell) -> str:
    if cell is None:
        return "null"
    return {Text: "text", bytes: "blob", int: "integer", float: "real"}[type(cell)]


def _bytes(cell: Cell) -> bytes:
    if cell is None:
        return b""
    return bytes(cell) if isinstance(cell, bytes) else repr(cell).encode()
