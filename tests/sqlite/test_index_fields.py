"""What finds records by their index fields is kept by triggers of the schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files

import pytest

SCHEMA = files("hive_state_sqlite").joinpath("sql/schema.sql").read_text()
FIELDS = '[["status", "idle"], ["tag", "t"]]'
INSERT = (
    "INSERT INTO records (ns, collection, key, version, created_version, value, raw, index_fields,"
    f" created_at, updated_at) VALUES (1, 'c', ?, 1, 1, x'31', 0, '{FIELDS}', 1, 1)"
)
CHANGES = {
    "changed": "UPDATE records SET index_fields = '[[\"status\", \"busy\"]]' WHERE key = 'k7'",
    "removed": "DELETE FROM records WHERE key = 'k7'",
}


def steps(statement: str, records: int) -> int:
    """How many steps SQLite takes, in tens, beside so many other records."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        db.executemany(INSERT, [(f"k{n}",) for n in range(records)])
        ticks = [0]

        def tick() -> int:
            ticks[0] += 1
            return 0

        db.set_progress_handler(tick, 10)
        db.execute(f"{statement} AND ns = 1 AND collection = 'c'")
        db.set_progress_handler(None, 0)
        left = db.execute("SELECT field, value FROM record_index WHERE key = 'k7'").fetchall()
        assert left == ([("status", "busy")] if "UPDATE" in statement else [])
        assert db.execute("SELECT count(*) FROM record_index").fetchone() == (2 * (records - 1) + len(left),)
        return ticks[0]


@pytest.mark.parametrize("change", CHANGES)
def test_what_else_is_there_costs_nothing(change: str) -> None:
    assert steps(CHANGES[change], 5000) <= 2 * steps(CHANGES[change], 10)
