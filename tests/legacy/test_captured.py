"""What the triggers in an original hive's file note of the writes of its program."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from hive_state_core.errors import Conflict
from hive_state_legacy.capturing import Triggers
from hive_state_legacy.file import File as Followed
from hive_state_legacy.tables import Layout

from .conftest import NOON, SCHEMA, File

AGENT = "agent_id TEXT PRIMARY KEY,"
ADD = "INSERT OR REPLACE INTO agents (agent_id, slot, status, last_activity) VALUES ({}, 'idle', '')"
MOVE = "UPDATE OR REPLACE agents SET slot = {} WHERE agent_id = '{}'"


def slot(declared: str, key: str = "") -> str:
    """The schema with one more column of agents."""
    return SCHEMA.replace(AGENT, f"agent_id TEXT PRIMARY KEY {key}, slot {declared},")


@contextmanager
def followed(file: File) -> Iterator[tuple[Followed, Layout]]:
    """The file, once what is written there is noted."""
    ours = Followed(str(file.path), 1.0)
    ours.open()
    try:
        layout = Layout(ours)
        ours.capture(layout)
        yield ours, layout
    finally:
        ours.close()


def noted(file: Followed) -> list[Any]:
    """The keys, without their order."""
    keys = {change.key for change in file.changes(0, 100)}
    return sorted(key.decode() if isinstance(key, bytes) else key for key in keys)


@pytest.mark.parametrize(
    ("schema", "before", "write", "keys"),
    [
        (slot("UNIQUE"), ["'a', 1"], ADD.format("'b', 1"), ["a", "b"]),
        (slot("UNIQUE"), ["'a', NULL"], ADD.format("'b', NULL"), ["b"]),
        (slot("UNIQUE"), ["'a', 1", "'b', 2"], MOVE.format(1, "b"), ["a", "b"]),
        (slot("INTEGER UNIQUE"), ["'a', 1"], ADD.format("'b', '1'"), ["a", "b"]),
        (slot("UNIQUE COLLATE NOCASE"), ["'a', 'X'"], ADD.format("'b', 'x'"), ["a", "b"]),
        (
            slot("", "COLLATE NOCASE"),
            ["'a', NULL"],
            ADD.format("'A', NULL"),
            ["A", "a"],
        ),
        (
            slot("") + "CREATE UNIQUE INDEX both ON agents (status, slot);",
            ["'a', 1", "'c', 2"],
            ADD.format("'b', 1"),
            ["a", "b"],
        ),
        (
            slot("DEFAULT 0"),
            ["'a', 1"],
            ADD.replace("(agent_id", "(rowid, agent_id").format("1, 'b', 1"),
            ["a", "b"],
        ),
    ],
    ids=["unique", "null", "update", "affinity", "collation", "key", "two columns", "rowid"],
)
def test_rows_that_a_replace_deletes_are_noted(
    legacy: Callable[..., File], schema: str, before: list[str], write: str, keys: list[str]
) -> None:
    file = legacy(schema)
    for values in before:
        file.execute(ADD.format(values))
    with followed(file) as (ours, layout):
        ours.execute(write)
        assert noted(ours) == keys
        assert ours.require_captured(layout).blind == []


def test_so_it_is_with_a_history(legacy: Callable[..., File]) -> None:
    """By the number of the row, with the name of its history."""
    file = legacy(SCHEMA.replace("checkpoint_name TEXT NOT NULL", "checkpoint_name TEXT NOT NULL UNIQUE"))
    file.checkpoint("c")
    with followed(file) as (ours, _):
        columns = "checkpoints (checkpoint_name, timestamp, data)"
        ours.execute(f"INSERT OR REPLACE INTO {columns} VALUES ('c', '{NOON}', '{{}}')")
        assert [(change.key, change.history) for change in ours.changes(0, 100)] == [(1, b"c"), (2, b"c")]


@pytest.mark.parametrize(
    "schema",
    [
        slot("NOT NULL DEFAULT 5 UNIQUE"),
        SCHEMA + "CREATE UNIQUE INDEX lowered ON agents (lower(status), agent_id);",
    ],
    ids=["a default", "an expression"],
)
def test_what_cannot_be_looked_at_beforehand_is_told(legacy: Callable[..., File], schema: str) -> None:
    with followed(legacy(schema)) as (ours, layout):
        assert [found.name for found in Triggers(ours, layout).blind] == ["agents"]


@pytest.mark.parametrize(
    "change",
    [
        "CREATE UNIQUE INDEX late ON agents (status)",
        "DROP TRIGGER hive_state_capture_tasks_after_update",
        "DROP TABLE tasks",
    ],
)
def test_tables_that_were_made_anew_are_not_trusted(legacy: Callable[..., File], change: str) -> None:
    file = legacy()
    with followed(file) as (ours, layout):
        ours.require_captured(layout)
        with closing(sqlite3.connect(file.path)) as db:
            db.execute("CREATE INDEX harmless ON tasks (status)")
            db.execute("ALTER TABLE agents ADD COLUMN more")
        ours.require_captured(layout)
        ours.execute(change)
        with pytest.raises(Conflict, match="made anew, or a UNIQUE index"):
            ours.require_captured(layout)
