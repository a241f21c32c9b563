"""Small values of those who move the store."""

from __future__ import annotations

import sqlite3

from hive_state_core.spi import Notes


def read_notes(db: sqlite3.Connection, ns: int) -> dict[str, bytes]:
    return dict(db.execute("SELECT name, value FROM notes WHERE ns = ?", (ns,)))


def write_notes(db: sqlite3.Connection, ns: int, changes: Notes) -> None:
    """Inside a write transaction."""
    for name, value in changes.items():
        if value is None:
            db.execute("DELETE FROM notes WHERE ns = ? AND name = ?", (ns, name))
        else:
            db.execute("INSERT OR REPLACE INTO notes (ns, name, value) VALUES (?, ?, ?)", (ns, name, value))


def note(db: sqlite3.Connection, ns: int, changes: Notes, expect: Notes) -> bool:
    """Inside a write transaction: write them if all of `expect` is so."""
    there = read_notes(db, ns)
    if any(there.get(name) != value for name, value in expect.items()):
        return False
    write_notes(db, ns, changes)
    return True
