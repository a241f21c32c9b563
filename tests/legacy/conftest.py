"""Files of an original hive, made by code, and stores to import them into."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from hive_state_core.cli import main

SCHEMA = """
CREATE TABLE agents (agent_id TEXT PRIMARY KEY, status TEXT NOT NULL, current_task_id TEXT,
    context_usage REAL DEFAULT 0.0, last_activity TEXT NOT NULL, capabilities TEXT NOT NULL DEFAULT '[]',
    performance_metrics TEXT NOT NULL DEFAULT '{}');
CREATE TABLE tasks (task_id TEXT PRIMARY KEY, status TEXT NOT NULL, agent_id TEXT, priority INTEGER DEFAULT 5,
    created_at TEXT NOT NULL, started_at TEXT, completed_at TEXT, metadata TEXT NOT NULL DEFAULT '{}');
CREATE TABLE checkpoints (id INTEGER PRIMARY KEY AUTOINCREMENT, checkpoint_name TEXT NOT NULL,
    timestamp TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE system_snapshots (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL,
    total_agents INTEGER DEFAULT 0, active_agents INTEGER DEFAULT 0, total_tasks INTEGER DEFAULT 0,
    completed_tasks INTEGER DEFAULT 0, failed_tasks INTEGER DEFAULT 0, average_context_usage REAL DEFAULT 0.0,
    quality_score REAL DEFAULT 0.0);
"""
NOON = "2025-03-01T12:00:00.123456"


class File:
    """A file in a folder of its own. What adds to it returns it."""

    def __init__(self, folder: Path, schema: str = SCHEMA) -> None:
        folder.mkdir()
        self.folder = folder
        self.path = folder / "state_manager.db"
        with closing(sqlite3.connect(self.path)) as db:
            db.executescript(schema)

    def execute(self, sql: str, *values: object) -> File:
        with closing(sqlite3.connect(self.path)) as db:
            db.execute(sql, values)
            db.commit()
        return self

    def insert(self, table: str, **values: object) -> File:
        marks = ", ".join("?" * len(values))
        return self.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())

    def agent(self, id: object = "a", **others: object) -> File:
        return self.insert("agents", **{"agent_id": id, "status": "idle", "last_activity": NOON, **others})

    def task(self, id: object = "t", **others: object) -> File:
        return self.insert("tasks", **{"task_id": id, "status": "pending", "created_at": NOON, **others})

    def checkpoint(self, name: object = "c", data: object = "{}", timestamp: object = NOON) -> File:
        return self.insert("checkpoints", checkpoint_name=name, timestamp=timestamp, data=data)

    def snapshot(self, **others: object) -> File:
        return self.insert("system_snapshots", **{"timestamp": NOON, **others})

    def run(self, store: str, *arguments: str) -> Result:
        """`hive-state import-legacy` of it."""
        return CliRunner().invoke(main, ["import-legacy", str(self.path), "--to", store, *arguments])

    def into(self, store: str, *arguments: str, exit_code: int = 0) -> Any:
        """What the command says with --json, its times being UTC."""
        done = self.run(store, "--timezone", "UTC", "--json", *arguments)
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout)

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Of each file in its folder the bytes, and when it was written."""
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.folder.iterdir()}


@pytest.fixture
def legacy(tmp_path: Path) -> Callable[..., File]:
    """Makes an empty file of an original hive, or of another schema."""
    return lambda schema=SCHEMA: File(tmp_path / uuid4().hex, schema)


@pytest.fixture
def sample(tmp_path: Path) -> File:
    """A real one, copied: 1586 rows, 41 of them with NaN."""
    file = File(tmp_path / "sample")
    shutil.copyfile(Path(__file__).with_name("leanvibe-sample.db"), file.path)
    return file


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/{uuid4().hex}.db"
