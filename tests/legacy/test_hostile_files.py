"""Files that cannot be imported, or not as they are: one sentence, the right exit code, nothing changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

CRASH = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement)
os._exit(9)
"""
"""A program that dies with its files as they are."""

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""
"""A program that holds the lock until it is told something."""


def crash(path: Path, *statements: str) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(path), *statements])
    assert done.returncode == 9


def refused(file: Any, exit_code: int, *parts: str) -> None:
    """The import ends with that code and one sentence that has these parts; the folder stays as it was, and
    no store is made."""
    before = file.contents()
    target = file.folder.with_suffix(".target")
    done = file.run(f"sqlite:///{target}")
    assert done.exit_code == exit_code, done.output
    sentence = done.stderr
    assert sentence.startswith("hive-state: error: ")
    assert sentence.count("\n") == 1
    assert "Traceback" not in done.output
    assert "unforeseen" not in sentence
    for part in (*parts, file.path.name):
        assert part in sentence, sentence
    assert file.contents() == before
    assert not target.exists()


def test_there_is_no_file(legacy: Any) -> None:
    file = legacy()
    file.path.unlink()
    refused(file, 2, "there is no file")


def test_a_directory(legacy: Any) -> None:
    file = legacy()
    file.path = file.folder
    before = list(file.folder.iterdir())
    done = file.run("memory://x")
    assert done.exit_code == 2
    assert "is a directory" in done.stderr
    assert list(file.folder.iterdir()) == before


def test_zero_bytes(legacy: Any) -> None:
    file = legacy()
    file.path.write_bytes(b"")
    refused(file, 4, "it is empty")


@pytest.mark.parametrize("content", [b"x", b"SQLite format 4\0" + bytes(4096), os.urandom(8192)])
def test_no_sqlite_file(legacy: Any, content: bytes) -> None:
    file = legacy()
    file.path.write_bytes(content)
    refused(file, 4, "not a SQLite database")


def test_sqlite_by_its_first_bytes_only(legacy: Any) -> None:
    file = legacy()
    file.path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))
    refused(file, 4, "not a SQLite database")


def test_truncated(sample: Any) -> None:
    content = sample.path.read_bytes()
    for size in (100, 5000, len(content) // 2, len(content) - 4096):
        sample.path.write_bytes(content[:size])
        done = sample.run("memory://x")
        assert done.exit_code in (1, 4)
        assert "damaged" in done.stderr or "not a SQLite database" in done.stderr
        assert "unforeseen" not in done.stderr


def test_a_page_of_rubbish(sample: Any) -> None:
    content = bytearray(sample.path.read_bytes())
    content[40 * 4096 : 41 * 4096] = os.urandom(4096)
    sample.path.write_bytes(content)
    refused(sample, 1, "damaged")


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_no_rights(legacy: Any) -> None:
    file = legacy()
    file.path.chmod(0)
    refused(file, 4, "cannot be read by this user")


def test_no_rights_as_any_user(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hive_state_legacy import copying

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(copying, "copy", denied)
    assert copying.main("a", "b", "1") == 1
    assert capsys.readouterr().out == "denied Permission denied\n"


def test_another_programs_database(legacy: Any) -> None:
    file = legacy("CREATE TABLE notes (text)")
    refused(file, 4, "none of the tables")


def test_a_hive_state_store(legacy: Any, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from hive_state_core.cli import main

    file = legacy()
    file.path.unlink()
    assert CliRunner().invoke(main, ["init", f"sqlite:///{file.path}"]).exit_code == 0
    refused(file, 4, "a hive-state store already", "migrate run")


def test_views_in_the_place_of_tables(legacy: Any) -> None:
    file = legacy("CREATE TABLE real (task_id, status); CREATE VIEW tasks AS SELECT * FROM real")
    refused(file, 4, "tasks is a view")


def test_rows_without_numbers(legacy: Any) -> None:
    refused(legacy("CREATE TABLE tasks (task_id TEXT PRIMARY KEY, status) WITHOUT ROWID"), 4, "WITHOUT ROWID")


def test_a_needed_column_is_missing(legacy: Any) -> None:
    refused(legacy("CREATE TABLE tasks (task_id TEXT)"), 4, "tasks has no column status")


def test_the_target_is_the_file_itself(legacy: Any) -> None:
    file = legacy().task()
    before = file.contents()
    assert file.run(f"sqlite:///{file.path}").exit_code == 4
    assert file.contents() == before


def test_some_tables_some_columns_and_some_more(legacy: Any, store: str) -> None:
    file = legacy(
        "CREATE TABLE tasks (task_id TEXT, status TEXT, rowid TEXT, mood TEXT); CREATE TABLE users (name);"
        "CREATE VIEW v AS SELECT 1"
    )
    file.execute("INSERT INTO tasks VALUES ('t', 'pending', 'x', 'fine')")
    done = file.into(store)
    assert done["read"] == {"agents": 0, "tasks": 1, "checkpoints": 0, "system_snapshots": 0}
    assert done["verified"]["same"]["tasks"] == 1
    said = " / ".join(done["warnings"])
    for part in (
        "no table agents",
        "the table users",
        "column mood of tasks",
        "tasks has no column metadata",
    ):
        assert part in said


def test_names_in_capitals(legacy: Any, store: str) -> None:
    file = legacy('CREATE TABLE "Tasks" ("Task_ID" TEXT PRIMARY KEY, STATUS TEXT, "Created_At" TEXT)')
    file.execute("INSERT INTO tasks VALUES ('t', 'pending', '2025-01-01')")
    assert file.into(store)["verified"]["same"]["tasks"] == 1


def test_utf16(legacy: Any, store: str) -> None:
    file = legacy(
        'PRAGMA encoding = "UTF-16le"; CREATE TABLE tasks (task_id TEXT PRIMARY KEY, status, metadata)'
    )
    file.execute("INSERT INTO tasks VALUES ('é🐝', 'pending', '\"数据\"')")
    assert file.into(store)["verified"]["same"]["tasks"] == 1


def test_a_wal_beside_it_that_nobody_merged(legacy: Any, store: str) -> None:
    for without in ((), ("-shm",)):
        file = legacy()
        insert = "INSERT INTO tasks (task_id, status, created_at) VALUES ('t', 'pending', '2025-01-01')"
        crash(file.path, "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", insert)
        for suffix in without:
            Path(f"{file.path}{suffix}").unlink()
        before = file.contents()
        assert f"{file.path.name}-wal" in before
        assert file.into(f"{store}{len(without)}")["imported"]["tasks"] == 1
        assert file.contents() == before


def test_in_wal_mode_with_nothing_beside_it(legacy: Any, store: str) -> None:
    file = legacy().task().execute("PRAGMA journal_mode = WAL")
    before = file.contents()
    assert list(before) == [file.path.name]
    assert file.into(store)["imported"]["tasks"] == 1
    assert file.contents() == before


def test_a_hive_in_wal_mode_at_work(legacy: Any, store: str) -> None:
    file = legacy().task("a").execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as db:
        db.execute("INSERT INTO tasks (task_id, status, created_at) VALUES ('b', 'pending', '2025-01-01')")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO tasks (task_id, status, created_at) VALUES ('c', 'pending', '2025-01-01')")
        before = file.contents()
        assert file.into(store)["imported"]["tasks"] == 2  # what is committed, and only that
        assert file.contents() == before
        db.execute("COMMIT")


def test_a_journal_that_a_killed_writer_left(legacy: Any, store: str) -> None:
    """What was half written is not imported, and the journal stays for the hive's own recovery."""
    file = legacy()
    for n in range(50):
        file.task(f"t{n}", metadata=f'"{"x" * 2000}"')
    spill = ("PRAGMA cache_size = 1", "PRAGMA cache_spill = 1", "BEGIN", "UPDATE tasks SET metadata = '{}'")
    crash(file.path, *spill, "UPDATE tasks SET status = 'completed'", "DELETE FROM tasks WHERE rowid > 5")
    before = file.contents()
    assert before[f"{file.path.name}-journal"][0]
    done = file.into(store)
    assert done["imported"]["tasks"] == done["verified"]["same"]["tasks"] == 50
    assert file.contents() == before


def test_a_writer_that_holds_its_lock(legacy: Any) -> None:
    file = legacy().task()
    writing = [sys.executable, "-c", HOLD, str(file.path)]
    with subprocess.Popen(writing, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"locked\n"
        refused(file, 5, "another program holds its lock")
        writer.communicate(b"\n")


def test_a_writer_of_this_very_process_keeps_its_lock(legacy: Any, store: str) -> None:
    """The file is not opened in this process: closing it again would take away the writer's locks."""
    file = legacy().task("a")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO tasks (task_id, status, created_at) VALUES ('b', 'pending', '2025-01-01')")
        assert file.into(store)["imported"]["tasks"] == 1  # what is committed
        other = subprocess.run([sys.executable, "-c", HOLD, str(file.path)], capture_output=True, input=b"")
        assert b"database is locked" in other.stderr
        db.execute("COMMIT")
    assert file.into(store)["imported"]["tasks"] == 1


def test_its_own_writers_wait_for_the_copy_only(sample: Any, store: str) -> None:
    """Nothing is locked any more while the rows are read: a writer without any patience gets through."""
    from hive_state_legacy.snapshot import Snapshot

    snapshot = Snapshot(str(sample.path), 5.0)
    snapshot.open()
    try:
        rows = snapshot.rows("SELECT task_id FROM tasks")
        next(rows)
        with closing(sqlite3.connect(sample.path, timeout=0)) as db:
            db.execute("DELETE FROM tasks")
            db.commit()
        assert len(list(rows)) == 1499
    finally:
        snapshot.close()


def test_odd_names(legacy: Any, store: str, tmp_path: Path) -> None:
    file = legacy().task()
    odd = file.folder / "a b?c#d%20é.db"
    shutil.move(file.path, odd)
    file.path = odd
    assert file.into(store)["imported"]["tasks"] == 1


def test_no_copy_stays_behind(
    legacy: Any, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    file = legacy().task()
    file.into(store)
    file.path.write_bytes(b"no database" * 100)
    assert file.run(store).exit_code == 4
    assert list(temporary.iterdir()) == []
