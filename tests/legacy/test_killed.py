"""An import that is killed is begun again, and one that is interrupted leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ROWS = 2000


@pytest.fixture
def large(legacy: Any) -> Any:
    file = legacy()
    with closing(sqlite3.connect(file.path)) as db:
        for n in range(ROWS):
            row = (f"t{n:04}", "pending", "2025-01-01T00:00:00", f'{{"n": {n}}}')
            db.execute("INSERT INTO tasks (task_id, status, created_at, metadata) VALUES (?, ?, ?, ?)", row)
            row = (f"c{n % 3}", f"2025-01-01T00:00:{n % 60:02}", str(n))
            db.execute("INSERT INTO checkpoints (checkpoint_name, timestamp, data) VALUES (?, ?, ?)", row)
        db.commit()
    return file


def start(file: Any, target: Path, temporary: Path) -> subprocess.Popen[bytes]:
    import_it = ["import-legacy", str(file.path), "--to", f"sqlite:///{target}", "--batch-size", "20"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [sys.executable, "-m", "hive_state_core.cli", *import_it, "--timezone", "UTC"],
        env=environment,
        stderr=subprocess.PIPE,
    )


def wait_for_rows(target: Path, table: str, count: int) -> None:
    until = time.monotonic() + 50
    while time.monotonic() < until:
        if target.exists():
            with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as db:
                try:
                    if db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= count:
                        return
                except sqlite3.OperationalError:  # the schema is being made
                    pass
        time.sleep(0.005)
    raise AssertionError("nothing was imported")


def test_killed_and_begun_again(large: Any, tmp_path: Path) -> None:
    target = tmp_path / "hive.db"
    for table, count in (("tasks", 1), ("tasks", 700), ("events", 300)):
        running = start(large, target, tmp_path)
        wait_for_rows(target, table, count)
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL
    before = large.contents()
    done = large.into(f"sqlite:///{target}")
    assert done["unchanged"]["tasks"] == ROWS
    assert done["unchanged"]["checkpoints"] >= 300
    assert done["imported"]["checkpoints"] + done["unchanged"]["checkpoints"] == ROWS
    assert done["verified"]["same"] == {
        "agents": 0,
        "tasks": ROWS,
        "checkpoints": ROWS,
        "system_snapshots": 0,
    }
    assert sum(large.into(f"sqlite:///{target}")["imported"].values()) == 0
    assert large.contents() == before


def test_interrupted(large: Any, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    running = start(large, tmp_path / "hive.db", temporary)
    wait_for_rows(tmp_path / "hive.db", "tasks", 1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130
    assert said.decode().splitlines()[-1] == "hive-state: interrupted"
    assert b"Traceback" not in said
    assert list(temporary.iterdir()) == []
