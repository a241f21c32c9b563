"""Marks and Gones: kept by triggers, so that no write can forget them, which are there only while a sink is.

Without a sink a write costs nothing for it. The triggers come and go in the transaction that changes the
control row, alone among the writers, and every connection prepares its statements anew after that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from hive_state_core.spi import CACHE

ENTITIES = {
    "records": ("record", "collection", "key", ""),
    "tasks": ("task", "id", "", ""),
    "queues": ("queue", "queue", "", ""),
    "commits": ("commit", "id", "", ""),
    "streams": ("stream", "stream", "", ""),
    "groups": ("group", "stream", "grp", ""),
    "pending": ("pending", "stream", "grp", "seq"),
}
"""Table -> the kind, and the columns of name, part and seq. What happens to events, the stream tells."""

REMOVED = ("tasks", "commits", "groups", "pending")
"""What a delete leaves no row of its own of."""

_PREFIX = "capture_"

TRIP = "(SELECT (term << 43) + counter FROM control WHERE ns = old.ns)"
"""The version of the trip that is under way: it has advanced the counter already."""


def adjust(db: sqlite3.Connection) -> None:
    """Make the triggers, or remove them, as there are sinks in any namespace or not."""
    if db.execute("SELECT 1 FROM sinks LIMIT 1").fetchone():
        for statement in _triggers():
            db.execute(statement)
        return
    names = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND substr(name, 1, ?) = ?",
        (len(_PREFIX), _PREFIX),
    ).fetchall()
    for (name,) in names:
        db.execute(f"DROP TRIGGER {name}")


def _triggers() -> Iterator[str]:
    for table in ENTITIES:
        back = _forget(table) if table in REMOVED else ""
        yield _trigger(table, "INSERT", back + _mark(table, "new", "new.version"))
        yield _trigger(table, "UPDATE", _mark(table, "new", "new.version"))
        if table in REMOVED:
            yield _trigger(table, "DELETE", _bury(table) + _mark(table, "old", TRIP))


def _trigger(table: str, event: str, body: str) -> str:
    name = f"{_PREFIX}{table}_{event.lower()}"
    return f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} ON {table} BEGIN {body} END"


def _mark(table: str, row: str, version: str) -> str:
    return (
        f"INSERT INTO marks SELECT ns, sink, {_names(table, row)}, {version} FROM sinks"
        f" WHERE ns = {row}.ns AND {_wanting(table)}"
        " ON CONFLICT DO UPDATE SET version = excluded.version;"
    )


def _bury(table: str) -> str:
    return (
        f"INSERT INTO gone SELECT old.ns, {_names(table, 'old')}, {TRIP}"
        f" WHERE EXISTS (SELECT 1 FROM sinks WHERE ns = old.ns AND {_wanting(table)})"
        " ON CONFLICT DO UPDATE SET version = excluded.version;"
    )


def _wanting(table: str) -> str:
    """The sinks that are told of it."""
    return "true" if table == "records" else f"sink <> '{CACHE}'"


def _forget(table: str) -> str:
    return f"DELETE FROM gone WHERE (ns, kind, name, part, seq) = (new.ns, {_names(table, 'new')});"


def _names(table: str, row: str) -> str:
    kind, name, part, seq = ENTITIES[table]
    second = f"{row}.{part}" if part else "''"
    third = f"{row}.{seq}" if seq else "0"
    return f"'{kind}', {row}.{name}, {second}, {third}"
