"""What was changed in the target behind the hive's back is found, each kind of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from hive_state_core import open_store
from hive_state_core.choosing import Choice
from hive_state_core.migration.opening import opened
from hive_state_core.migration.report import Report

from .conftest import populate
from .test_move import go

GHOST = (
    "SELECT ns, collection, 'ghost', version, created_version, value, raw, NULL, created_at, updated_at,"
    " expires_at FROM records WHERE key = 'same'"
)
CORRUPTIONS = {
    "a flipped byte": ("UPDATE tasks SET payload = x'22772f' WHERE id LIKE 'failed%'", "task", "different"),
    "a missing row": ("DELETE FROM records WHERE key = 'same'", "record", "missing"),
    "an extra row": (f"INSERT INTO records {GHOST}", "record", "extra"),
    "a TTL that drifted": (
        "UPDATE records SET expires_at = expires_at + 1 WHERE expires_at IS NOT NULL AND collection = 'c'",
        "record",
        "different",
    ),
    "another lease": ("UPDATE tasks SET token = token + 1 WHERE state = 'leased'", "task", "different"),
    "another lease's end": (
        "UPDATE tasks SET lease_until = lease_until + 1 WHERE state = 'leased'",
        "task",
        "different",
    ),
    "a version": ("UPDATE records SET version = version + 1 WHERE key = 'same'", "record", "different"),
    "an event": ("UPDATE events SET body = x'31' WHERE seq = 6", "event", "different"),
    "a position": ("UPDATE groups SET position = position - 1", "group", "different"),
    "a delivery": ("DELETE FROM pending WHERE dead = 1", "pending", "missing"),
    "a tombstone": ("DELETE FROM records WHERE value IS NULL", "record", "missing"),
    "a commit memory": ("UPDATE commits SET outcome = x'00'", "commit", "different"),
    "a stream's bounds": ("UPDATE streams SET last = last + 1", "stream", "different"),
    "a paused queue": ("UPDATE queues SET paused = 1 - paused", "queue", "different"),
}


async def compare(source: Choice, target: Choice) -> Report:
    async with opened(source, target, lambda *_: None) as ready:
        await ready.compare()
        return ready.report


@pytest.mark.parametrize("what", CORRUPTIONS)
async def test_it_is_found(new_store: Callable[[str], Choice], what: str) -> None:
    statement, kind, difference = CORRUPTIONS[what]
    source, target = new_store("memory"), new_store("sqlite")
    await populate(source)
    async with open_store(source) as hive:
        await hive.records.put("c", "deleted", 1)
        await hive.records.delete("c", "deleted")
    await go(source, target, copy_only=True)
    assert (await compare(source, target)).clean
    with sqlite3.connect(target.url.path[1:]) as db:
        changed = db.execute(statement).rowcount
    db.close()
    assert changed > 0, "nothing was corrupted"
    report = await compare(source, target)
    assert not report.clean
    found = {name: counts for name, counts in report.kinds.items() if getattr(counts, difference)}
    assert list(found) == [kind] or kind in found
    assert getattr(report.kinds[kind], difference) == changed  # type: ignore[index]
    assert list(report.first())


async def test_reading_alone_would_find_it_too(new_store: Callable[[str], Choice]) -> None:
    """The second comparison shares nothing with the first."""
    from hive_state_core.migration.rereading import reread

    source, target = new_store("memory"), new_store("sqlite")
    await populate(source)
    await go(source, target, copy_only=True)
    with sqlite3.connect(target.url.path[1:]) as db:
        db.execute("UPDATE records SET value = x'31' WHERE key = 'same'")
        db.execute("DELETE FROM tasks WHERE id LIKE 'child%'")
        db.execute("UPDATE events SET body = x'31' WHERE seq = 6")
    db.close()
    async with opened(source, target, lambda *_: None) as ready:
        one, other = ready._stores
        await reread(one._driver, other._driver, ready.report, lambda *_: None)
    kinds = ready.report.kinds
    assert (kinds["record"].different, kinds["task"].missing, kinds["event"].different) == (1, 3, 1)
