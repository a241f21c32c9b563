"""What is special about the replication port on SQLite: triggers that come and go, and older files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.spi import PEER
from hive_state_core.store import Store
from hive_state_sqlite import statements
from hive_state_sqlite.connection import APPLICATION_ID, SCHEMA_VERSION


def triggers(path: Path) -> int:
    with sqlite3.connect(path) as db:
        query = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'capture%'"
        return int(db.execute(query).fetchone()[0])


async def capture(store: Store, *sinks: str) -> None:
    row = await store.replication().control()
    await store.replication().control(row.epoch, replace(row, sinks=frozenset(sinks)))


async def test_a_store_without_sinks_has_no_triggers(tmp_path: Path) -> None:
    path = tmp_path / "hive.db"
    async with (
        open_store(f"sqlite:///{path}") as hive,
        open_store(f"sqlite:///{path}", namespace="other") as other,
    ):
        assert triggers(path) == 0
        await capture(hive, PEER)
        assert triggers(path) > 10
        await capture(other, PEER)
        await capture(hive)
        assert triggers(path) > 10
        await other.records.put("c", "k", 1)
        await hive.records.put("c", "k", 1)
        assert len(await other.replication().marks(PEER, 10)) == 1
        assert await hive.replication().marks(PEER, 10) == []
        await other._driver.schema("drop")
        assert triggers(path) == 0


async def test_a_program_that_knows_nothing_is_captured_too(tmp_path: Path) -> None:
    path = tmp_path / "hive.db"
    async with open_store(f"sqlite:///{path}") as hive:
        await hive.records.put("c", "k", 1)
        await capture(hive, PEER)
        with sqlite3.connect(path) as db:
            db.execute("UPDATE records SET version = version + 1")
        assert len(await hive.replication().marks(PEER, 10)) == 1


async def test_capture_leaves_sets_as_sets(tmp_path: Path) -> None:
    """Many enqueues of one trip, told apart from those whose ids are taken."""
    async with open_store(f"sqlite:///{tmp_path}/hive.db") as hive:
        await capture(hive, PEER)
        ids = await hive.tasks.enqueue_many("q", list(range(50)))
        assert len(set(ids)) == 50
        assert len(await hive.replication().marks(PEER, 100)) == 50


async def test_a_file_of_schema_version_1_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "hive.db"
    with sqlite3.connect(path) as db:
        db.executescript(statements.SCHEMA)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute(
            "INSERT INTO control (namespace, store_id, state, term, epoch, counter, orders, clock)"
            " VALUES ('default', 'an id', 'open', 1, 1, 5, 0, 7)"
        )
    before = await open_store(f"sqlite:///{path}")._driver.schema("inspect")
    assert (before.found, before.wanted) == (1, SCHEMA_VERSION)
    assert before.steps
    async with open_store(f"sqlite:///{path}") as hive:
        row = await hive.replication().control()
        assert (row.store_id, row.version) == ("an id", (1 << 43) + 5)
        await capture(hive, PEER)
        assert await hive.records.put("c", "k", 1) == (1 << 43) + 6
