"""`python tests/scale/foreign_move.py ROWS`: what moving the file of an original hive costs its program.

A file with so many rows, and the original manager at work in it, moves to a PostgreSQL from the wheel, back,
and there again, by `hive-state migrate`. Prints how long it takes to begin, for how long nobody could write
at each switch, and the longest write of the program meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hive_state_core.embedded import postgres_server

LEGACY = Path(__file__).parent.parent / "legacy"
SHARES = {"agents": 0.1, "tasks": 0.7, "checkpoints": 0.2}
NAMES = 200
"""Of checkpoints."""


def fill(path: Path, rows: int) -> None:
    counts = {table: int(rows * share) for table, share in SHARES.items()}
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript((LEGACY / "conftest.py").read_text().split('"""')[3])
        agents = ((f"a{n}", "idle", noon(n), json.dumps({"done": n})) for n in range(counts["agents"]))
        columns = "agents (agent_id, status, last_activity, performance_metrics)"
        db.executemany(f"INSERT INTO {columns} VALUES (?, ?, ?, ?)", agents)
        tasks = (
            (f"t{n:08}", ("pending", "completed", "failed")[n % 3], noon(n), json.dumps({"title": "x" * 80}))
            for n in range(counts["tasks"])
        )
        db.executemany("INSERT INTO tasks (task_id, status, created_at, metadata) VALUES (?, ?, ?, ?)", tasks)
        saved = ((f"c{n % NAMES}", noon(n), json.dumps({"n": n})) for n in range(counts["checkpoints"]))
        db.executemany("INSERT INTO checkpoints (checkpoint_name, timestamp, data) VALUES (?, ?, ?)", saved)


def noon(number: int) -> str:
    return f"2025-03-01T12:{number // 60 % 60:02}:{number % 60:02}.{number % 1000000:06}"


class Program:
    """Writes all the time, on new connections. `longest`: ms of a write that succeeded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self.longest = self.writes = self.refused = 0.0

    def run(self) -> None:
        number = 0
        while not self._ended.wait(0.005):
            number += 1
            began = time.perf_counter()
            try:
                with closing(sqlite3.connect(self._path)) as db, db:
                    values = (f"t{number % 1000:08}", "pending", noon(number))
                    db.execute(
                        "INSERT OR REPLACE INTO tasks (task_id, status, created_at) VALUES (?, ?, ?)", values
                    )
                self.writes += 1
                self.longest = max(self.longest, (time.perf_counter() - began) * 1000)
            except sqlite3.Error:  # fenced off, or waited for too long
                self.refused += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def told(self) -> str:
        told = f"{self.writes:,.0f} writes, the longest {self.longest:.0f} ms, {self.refused:,.0f} refused"
        self.longest = self.writes = self.refused = 0.0
        return told


def main(rows: int) -> None:
    with TemporaryDirectory() as folder, postgres_server() as server:
        path = Path(folder, "state_manager.db")
        fill(path, rows)
        program = Program(path)
        with program.at_work():
            for word in ("start", "switch", "rollback", "advance", "switch"):
                began = time.perf_counter()
                done = migrate(word, f"legacy-sqlite:///{path}", server.url)
                seconds = time.perf_counter() - began
                waited = (
                    f"  nobody wrote for {done['sealed_ms']:.0f} ms {done['steps']}"
                    if "sealed_ms" in done
                    else ""
                )
                print(f"{word:<9} {seconds:6.1f} s  {program.told()}{waited}", flush=True)


def migrate(word: str, source: str, target: str) -> Any:
    """What the command prints as JSON, at last."""
    command = (sys.executable, "-m", "hive_state_core.cli", "migrate", word, "--json")
    done = subprocess.run([*command, "--from", source, "--to", target], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{word} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
