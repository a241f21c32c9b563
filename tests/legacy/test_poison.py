"""Rows that cannot be taken: each is named, kept with all its bytes, and settled by a rule or waived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from hive_state_core import Store, open_store
from hive_state_core.records import Record

T = TypeVar("T")

DEEP = "[" * 100_000 + "]" * 100_000
LOOSE = """
CREATE TABLE agents (agent_id, status, current_task_id, context_usage, last_activity, capabilities,
    performance_metrics);
CREATE TABLE tasks (task_id, status, agent_id, priority, created_at, started_at, completed_at, metadata);
CREATE TABLE checkpoints (id INTEGER PRIMARY KEY, checkpoint_name, timestamp, data);
"""

# (table, values of the row, column at fault, a part of the reason)
POISON: list[tuple[str, dict[str, object], str, str]] = [
    ("task", {"metadata": '{"a":'}, "metadata", "not valid JSON"),
    ("task", {"metadata": "{} x"}, "metadata", "not valid JSON"),
    ("task", {"metadata": '{"a": NaN}'}, "metadata", "NaN is no JSON number"),
    ("task", {"metadata": '{"a": [-Infinity]}'}, "metadata", "-Infinity is no JSON number"),
    ("task", {"metadata": '{"a": 1e400}'}, "metadata", "1e400 is no JSON number"),
    ("task", {"metadata": '{"a": 1, "a": 2}'}, "metadata", "a key twice"),
    ("task", {"metadata": DEEP}, "metadata", "nested"),
    ("task", {"metadata": '{"a": ' + "1" * 5000 + "}"}, "metadata", "too many digits"),
    ("task", {"metadata": '{"a": "\\ud800"}'}, "metadata", "lone surrogate"),
    ("task", {"metadata": b"{}"}, "metadata", "a BLOB where text belongs"),
    ("task", {"metadata": '"' + "x" * 20_000_000 + '"'}, "metadata", "at most"),
    ("task", {"id": None}, "task_id", "NULL where"),
    ("task", {"id": ""}, "task_id", "must not be empty"),
    ("task", {"id": b"\xff\xfe"}, "task_id", "a BLOB where text belongs"),
    ("task", {"id": "a\0b"}, "task_id", "NUL"),
    ("task", {"id": "x" * 1025}, "task_id", "at most 1024"),
    ("task", {"status": "paused"}, "status", "'paused'"),
    ("task", {"priority": "urgent"}, "priority", "text where an INTEGER belongs"),
    ("task", {"priority": 2.5}, "priority", "REAL where an INTEGER belongs"),
    ("task", {"priority": 10**6}, "priority", "at most 32767"),
    ("task", {"created_at": "yesterday"}, "created_at", "not an ISO 8601 time"),
    ("task", {"created_at": ""}, "created_at", "no time where one belongs"),
    ("task", {"completed_at": b"2025-03-01"}, "completed_at", "not an ISO 8601 time"),
    ("task", {"agent_id": b"a"}, "agent_id", "a BLOB where text belongs"),
    ("agent", {"id": None}, "agent_id", "NULL where"),
    ("agent", {"capabilities": '"plan"'}, "capabilities", "no list"),
    ("agent", {"capabilities": "[1]"}, "capabilities", "must be a str"),
    (
        "agent",
        {"capabilities": str(list(range(40))).replace("[", '["').replace(", ", '", "').replace("]", '"]')},
        "capabilities",
        "at most 31",
    ),
    ("agent", {"context_usage": "half"}, "context_usage", "text where a number belongs"),
    ("agent", {"context_usage": float("inf")}, "context_usage", "an infinite number"),
    ("agent", {"status": ""}, "status", "must not be empty"),
    ("agent", {"performance_metrics": "NaN"}, "performance_metrics", "NaN"),
    ("agent", {"last_activity": "2025-13-01"}, "last_activity", "not an ISO 8601 time"),
    ("checkpoint", {"data": "{'a': 1}"}, "data", "not valid JSON"),
    ("checkpoint", {"name": "x" * 113}, "checkpoint_name", "at most"),
    ("checkpoint", {"name": b"c"}, "checkpoint_name", "a BLOB where text belongs"),
    ("checkpoint", {"timestamp": "noon"}, "timestamp", "not an ISO 8601 time"),
    ("snapshot", {"total_agents": "many"}, "total_agents", "text where a number belongs"),
]
TABLES = {"task": "tasks", "agent": "agents", "checkpoint": "checkpoints", "snapshot": "system_snapshots"}


def look(store: str, see: Callable[[Store], Awaitable[T]]) -> T:
    """What is in the store, in an event loop of its own, as the command has one."""

    async def seen() -> T:
        async with open_store(store) as hive:
            return await see(hive)

    return asyncio.run(seen())


async def quarantine(hive: Store) -> tuple[Record, bytes]:
    """Its one entry, and the bytes."""
    (entry,) = [each async for each in hive.records.list("legacy-quarantine")]
    keys = [f"{entry.key}:{number:04}" for number in range(entry.value["parts"])]
    parts = await hive.records.get_many("legacy-quarantine-bytes", keys)
    return entry, b"".join(part.value for part in parts if part is not None)


@pytest.mark.parametrize(("verb", "values", "column", "reason"), POISON)
def test_each_is_named_and_kept(
    legacy: Any, store: str, verb: str, values: dict[str, object], column: str, reason: str
) -> None:
    file = legacy().task("good").agent("good").checkpoint("good")
    getattr(file, verb)(**values)
    done = file.into(store, exit_code=3)
    (poison,) = done["poison_rows"]
    assert poison["table"] == TABLES[verb]
    assert poison["column"] == column
    assert reason in poison["reason"]
    assert sum(done["imported"].values()) == 3
    assert sum(done["verified"]["same"].values()) == 3
    entry, kept = look(store, quarantine)
    assert (entry.value["rowid"], entry.value["state"]) == (poison["rowid"], "open")
    at = 0
    for name, kind, length in entry.value["cells"]:
        cell, at = kept[at : at + length], at + length
        wanted = values.get(name, values.get(name.removeprefix(f"{verb}_"), ...))
        if isinstance(wanted, bytes):
            assert (kind, cell) == ("blob", wanted)
        elif isinstance(wanted, str):
            assert (kind, cell.decode()) == ("text", wanted)
        elif wanted is None:
            assert (kind, cell) == ("null", b"")
    assert at == len(kept)


def test_a_row_is_waived_by_its_name(legacy: Any, store: str) -> None:
    file = legacy().task("a", metadata="{").task("b", metadata="{").task("c")
    assert file.into(store, "--waive", "tasks:1", exit_code=3)["poison"]["tasks"] == 1
    done = file.into(store, "--waive", "tasks:2")
    assert (done["waived"]["tasks"], done["unchanged"]["tasks"], done["poison_rows"]) == (2, 1, [])
    assert file.into(store)["waived"]["tasks"] == 2  # that was said once and for all
    file.execute("UPDATE tasks SET metadata = '[' WHERE task_id = 'a'")
    assert file.into(store, exit_code=3)["poison"]["tasks"] == 1  # of the row as it was


def test_a_waiver_that_meets_no_row_is_told(legacy: Any, store: str) -> None:
    assert legacy().task().into(store, "--waive", "tasks:9")["warnings"] == [
        "the waived row tasks:9 is not in the file"
    ]
    assert legacy().run(store, "--waive", "users:1").exit_code == 2
    assert legacy().run(store, "--waive", "tasks:x").exit_code == 2


@pytest.mark.parametrize(
    ("rule", "column", "text", "value"),
    [
        ("--nan=null", "metadata", '{"a": [NaN, 1e400]}', {"a": [None, None]}),
        ("--nan=string", "metadata", '{"a": [NaN, -Infinity, 1e400]}', {"a": ["NaN", "-Infinity", "1e400"]}),
        ("--bad-text=replace", "metadata", '{"\\udfff": "a\\ud800"}', {"\ufffd": "a\ufffd"}),
    ],
)
def test_a_rule_settles_it(legacy: Any, store: str, rule: str, column: str, text: str, value: object) -> None:
    file = legacy().task(**{column: text})
    done = file.into(store, rule)
    assert done["settled"]["tasks"] == done["verified"]["same"]["tasks"] == 1
    task = look(store, lambda hive: hive.tasks.get("t"))
    assert task is not None
    assert task.payload == value
    entry, kept = look(store, quarantine)
    assert entry.value["state"] == "settled"
    assert entry.value["rule"] == rule.removeprefix("--").replace("-", "_")
    assert text.encode() in kept


def test_an_unknown_status_is_taken_for_another(legacy: Any, store: str) -> None:
    file = legacy().task(status="paused")
    assert file.into(store, "--unknown-status", "pending")["verified"]["same"]["tasks"] == 1


def test_a_time_that_cannot_be_read_is_null(legacy: Any, store: str) -> None:
    file = (
        legacy()
        .task(created_at="?")
        .task("u", status="completed", completed_at="?")
        .checkpoint(timestamp="?")
    )
    done = file.into(store, "--bad-time", "null")
    assert sum(done["verified"]["same"].values()) == sum(done["settled"].values()) == 3


def test_an_infinite_number_in_a_column_can_only_be_null(legacy: Any, store: str) -> None:
    file = legacy().agent(context_usage=float("-inf"))
    assert file.into(store, "--nan", "string", exit_code=3)["poison"]["agents"] == 1
    assert file.into(store, "--nan", "null")["settled"]["agents"] == 1


def test_several_null_keys_and_several_equal_ones(legacy: Any, store: str) -> None:
    file = legacy(LOOSE)
    for id in (None, None, "same", "same", 7, "7", b"7", 7):
        file.task(id)
    done = file.into(store, exit_code=3)
    assert done["imported"]["tasks"] == 1
    reasons = [row["reason"] for row in done["poison_rows"]]
    assert len(reasons) == 7
    assert reasons[2] == reasons[3] == "a key that several rows have"
    waived = [f"--waive=tasks:{rowid}" for rowid in (1, 2, 3, 5, 7, 8)]
    done = file.into(store, *waived)
    assert done["imported"]["tasks"] == 1  # rowid 4: nobody else has its key now
    assert done["waived"]["tasks"] == 6


def test_ten_megabytes_are_no_poison_and_large_poison_is_kept_in_parts(legacy: Any, store: str) -> None:
    file = legacy().task("large", metadata='"' + "é" * 5_000_000 + '"')
    assert file.into(store)["verified"]["same"]["tasks"] == 1
    file.task("larger", metadata='{"a": "' + "x" * 20_000_000)
    assert file.into(store, exit_code=3)["poison"]["tasks"] == 1
    entry, kept = look(store, quarantine)
    assert entry.value["parts"] == 5
    assert kept.count(b"x") == 20_000_000


def test_what_was_settled_by_waiving_the_other_is_closed(legacy: Any, store: str) -> None:
    file = legacy(LOOSE).task("same").task("same")
    assert file.into(store, exit_code=3)["poison"]["tasks"] == 2
    done = file.into(store, "--waive", "tasks:1")
    assert (done["imported"]["tasks"], done["waived"]["tasks"], done["settled"]["tasks"]) == (1, 1, 1)
