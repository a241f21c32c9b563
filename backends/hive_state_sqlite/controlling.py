"""The control row, the sinks and their marks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from hive_state_core.control import changed
from hive_state_core.naming import name_of, ref_of
from hive_state_core.spi import PEER, TERM_SHIFT, Control, ControlState, Mark
from hive_state_sqlite import capturing, statements
from hive_state_sqlite.connection import dropped

_dump = msgspec.json.Encoder().encode

_HELD = (*capturing.ENTITIES, "events", "gone")


def read_control(db: sqlite3.Connection, ns: int) -> Control:
    """In one snapshot if the connection is in a transaction."""
    row = db.execute(
        "SELECT store_id, peer, state, term, epoch, counter, version,"
        " (SELECT group_concat(sink, char(10)) FROM sinks WHERE ns = ?1) FROM control WHERE ns = ?1",
        (ns,),
    ).fetchone()
    if row is None:
        raise dropped()
    store_id, peer, state, term, epoch, counter, version, sinks = row
    if state == "open" and counter:
        version = max(version, (term << TERM_SHIFT) + counter)
    return Control(
        store_id=store_id,
        peer=peer,
        state=ControlState(state),
        term=term,
        epoch=epoch,
        sinks=frozenset(sinks.split("\n") if sinks else ()),
        version=version,
    )


def change_control(db: sqlite3.Connection, ns: int, expect: int, change: Control) -> Control:
    """Inside a write transaction, which no other writer's overlaps: that is the fence."""
    old = read_control(db, ns)
    undelivered = _any(db, "marks WHERE ns = ? AND sink = ?", ns, PEER)
    empty = not any(_any(db, f"{table} WHERE ns = ?", ns) for table in _HELD)
    new = changed(old, expect, change, empty=empty, undelivered=undelivered)
    db.execute(
        "UPDATE control SET peer = ?2, state = ?3, term = ?4, epoch = ?5, version = ?6 WHERE ns = ?1",
        (ns, new.peer, new.state.value, new.term, new.epoch, new.version),
    )
    for sink in old.sinks - new.sinks:
        db.execute("DELETE FROM sinks WHERE ns = ? AND sink = ?", (ns, sink))
        db.execute("DELETE FROM marks WHERE ns = ? AND sink = ?", (ns, sink))
    db.executemany("INSERT INTO sinks VALUES (?, ?)", [(ns, sink) for sink in new.sinks - old.sinks])
    capturing.adjust(db)
    return new


def marks(db: sqlite3.Connection, ns: int, sink: str, limit: int) -> list[Mark]:
    found = db.execute(
        "SELECT version, kind, name, part, seq FROM marks WHERE ns = ? AND sink = ? ORDER BY version LIMIT ?",
        (ns, sink, limit),
    )
    return [Mark(sink, ref_of(*place), version) for version, *place in found]


def clear(db: sqlite3.Connection, ns: int, sink: str, done: Sequence[Mark]) -> int:
    """How many were still the same. Inside a write transaction."""
    marks = _dump([(*name_of(mark.ref).place, mark.version) for mark in done])
    return db.execute(statements.MARKS_CLEAR, (ns, sink, marks.decode())).rowcount


def _any(db: sqlite3.Connection, what: str, *arguments: object) -> bool:
    return db.execute(f"SELECT 1 FROM {what} LIMIT 1", arguments).fetchone() is not None
