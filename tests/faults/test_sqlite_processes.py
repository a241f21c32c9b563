"""Several processes on one SQLite file, some of them killed with -9."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from hive_state_core import Store, open_store
from hive_state_core.model import TaskState

PROGRAM = Path(__file__).with_name("hive_process.py")
KILLS = int(os.environ.get("HIVE_STATE_KILLS", "12"))
SOAK_SECONDS = float(os.environ.get("HIVE_STATE_SOAK_SECONDS", "6"))


class Hive:
    """A running `hive_process.py`, and the lines it said so far."""

    def __init__(self, url: str, name: str, *options: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), url, name, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = Thread(target=self._read)
        self._reader.start()
        self._errors = Thread(target=self._read_errors)
        self.errors = ""
        self._errors.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        # A killed writer may leave half a line; what ends without a newline was not acknowledged.
        self.lines += [line[:-1] for line in self.process.stdout if line.endswith("\n")]

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def end(self, how: int | None = None) -> None:
        if how is not None:
            self.process.send_signal(how)
        self.process.wait(timeout=120)
        self._reader.join()
        self._errors.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


async def verify(hive: Store, lines: list[str]) -> None:
    """Every acknowledged effect is there, none is there twice."""
    said = [line.split() for line in lines]
    states = {task.id: task.state async for task in hive.tasks.list()}
    lost = [words[1] for words in said if words[0] == "E" and words[1] not in states]
    assert not lost
    undone = [words[1] for words in said if words[0] == "C" and states[words[1]] is not TaskState.COMPLETED]
    assert not undone
    effects = Counter([record.key.split("/")[0] async for record in hive.records.list("effects")])
    assert not [task for task, count in effects.items() if count > 1]
    completed = {task for task, state in states.items() if state is TaskState.COMPLETED}
    assert completed == set(effects)
    numbers: dict[str, int] = {}
    for words in said:
        if words[0] == "P":
            numbers[words[1]] = max(numbers.get(words[1], 0), int(words[2]))
    for name, number in numbers.items():
        record = await hive.records.get("agents", name)
        assert record is not None
        assert record.value >= number


@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_when_one_of_two_processes_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'hive.db'}"
    survivor = Hive(url, "survivor", "--seconds", str(2 + KILLS * 0.75))
    lines: list[str] = []
    for number in range(KILLS):
        victim = Hive(url, f"victim{number}")
        time.sleep(random.uniform(0.05, 0.9))
        victim.end(signal.SIGKILL)
        lines += victim.lines
    survivor.end()
    assert survivor.process.returncode == 0, survivor.errors
    counts = json.loads(survivor.lines[-1].removeprefix("END "))
    assert counts["errors"] == []
    assert counts["steps"] > 0
    began = time.monotonic()
    async with open_store(url) as hive:
        await hive.records.put("after", "all", 1)
        assert time.monotonic() - began < 10  # no lock was left behind
        await verify(hive, lines + survivor.lines)
    with sqlite3.connect(tmp_path / "hive.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.timeout(300)
async def test_eight_processes_of_fifty_agents_all_make_progress_without_an_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hive.db'}"
    options = ("--agents", "50", "--seconds", str(SOAK_SECONDS))
    hives = [Hive(url, f"hive{number}", *options) for number in range(8)]
    for each in hives:
        each.end()
    for each in hives:
        assert each.process.returncode == 0, each.errors
        counts = json.loads(each.lines[-1].removeprefix("END "))
        print(counts)
        assert counts["errors"] == []
        assert counts["steps"] > 0
    async with open_store(url) as hive:
        await verify(hive, [line for each in hives for line in each.lines])
