"""`hive-state demo`: its report, its audit (a wrong store fails), and a clean end in every case."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from hive_state_core.cli import main
from hive_state_core.errors import Unavailable
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Committed, Complete, Driver, Enqueue, Enqueued, Outcome, Put, Reply

from .terminal import run_on_terminal

KEYS = {
    *("url", "workload", "agents", "seconds", "operations", "ops_per_s", "tasks_enqueued", "tasks_completed"),
    *("lost", "duplicates", "torn", "stale", "errors", "first_error", "latency_ms"),
    "cache_hit_ratio",
}
QUICK = ("--seconds", "0.5", "--agents", "10")
CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIVE_STATE_URL", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["demo", *args])


class Wrong:
    """A driver that does what another does, but for `change`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.driver.commit([self.change(batch) for batch in batches], trip_id)
        lies = [_as_if(outcome, batch) for outcome, batch in zip(reply.results, batches, strict=True)]
        return Reply(reply.epoch, reply.at, lies)

    def change(self, batch: Batch) -> Batch:
        return batch


def _as_if(outcome: Outcome, batch: Batch) -> Outcome:
    """The outcome with one result for each operation that was asked for."""
    if not isinstance(outcome, Committed) or len(outcome.results) == len(batch.ops):
        return outcome
    return replace(outcome, results=(None,) * len(batch.ops))


class DoesEffectsTwice(Wrong):
    def change(self, batch: Batch) -> Batch:
        if type(batch.ops[0]) is not Complete:
            return batch
        effect = batch.ops[-1]
        assert isinstance(effect, Put)
        task, _, token = effect.ref.key.rpartition(":")
        again = replace(effect, ref=RecordRef(effect.ref.collection, f"{task}:{int(token) + 1}"))
        return Batch((*batch.ops, again), batch.checks)


class DoesHalfOfUnits(Wrong):
    def change(self, batch: Batch) -> Batch:
        return Batch(batch.ops[1:], batch.checks) if type(batch.ops[0]) is Complete else batch


class WritesOldValues(Wrong):
    def change(self, batch: Batch) -> Batch:
        if len(batch.ops) > 1 or not batch.checks:
            return batch
        (put,) = batch.ops
        assert isinstance(put, Put)
        return Batch((replace(put, value=put.value.replace(b'"step":', b'"step":1')),), batch.checks)


class LosesTasks(Wrong):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        self.calls += 1
        if self.calls % 10 or len(batches) > 1 or type(batches[0].ops[0]) is not Enqueue:
            return await self.driver.commit(batches, trip_id)
        lie = Committed(1, 1, (Enqueued(batches[0].ops[0].ref.id, True),))
        return Reply(1, 1, [lie])


class Dies(Wrong):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        self.calls += 1
        if self.calls > 10:  # soon, for the demo may be slow and short
            raise Unavailable("the store does not answer")
        return await self.driver.commit(batches, trip_id)


class DiesForGood(Dies):
    async def scan(self, *args: Any) -> Any:
        raise Unavailable("the store does not answer")


Break = Callable[[type[Wrong]], str]


@pytest.mark.parametrize("url", ["memory://", "sqlite"])
def test_report(tmp_path: Path, url: str) -> None:
    url = f"sqlite:///{tmp_path}/d.db" if url == "sqlite" else url
    result = run("--url", url, "--json", *QUICK)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report.keys() == KEYS
    assert (report["url"], report["workload"], report["agents"]) == (url, "hive-demo/1", 10)
    assert [report[key] for key in ("lost", "duplicates", "torn", "stale", "errors")] == [0] * 5
    assert 0 < report["tasks_completed"] <= report["tasks_enqueued"] < report["operations"]
    assert report["latency_ms"].keys() == {"read", "write", "claim"}
    assert all(found.keys() == {"p50", "p95", "p99", "max"} for found in report["latency_ms"].values())
    if url != "memory://":
        assert _namespaces(tmp_path / "d.db") == []


def test_without_a_store_it_takes_a_new_file_and_removes_it(tmp_path: Path) -> None:
    result = run(*QUICK)
    assert result.exit_code == 0, result.output
    assert "a new file that is removed afterwards" in result.stderr
    assert "Nothing was lost, and nothing was done twice." in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_STATE_URL", f"sqlite:///{tmp_path}/env.db")
    assert run(*QUICK).exit_code == 0
    assert _namespaces(tmp_path / "env.db") == []


def test_one_line_a_second_where_there_is_no_terminal() -> None:
    result = run("--seconds", "1.3", "--agents", "10")
    assert any("ops/s" in line for line in result.stderr.splitlines())
    assert "\r" not in result.stderr


def test_a_picture_is_drawn_over_on_a_terminal() -> None:
    done, drawn = run_on_terminal(*CLI, "demo", "--seconds", "1", "--agents", "5")
    assert done.returncode == 0
    assert "Nothing was lost" in done.stdout
    assert "\x1b[F" * 5 in drawn
    for part in ("ops/s", "waiting", "latency, ms", "read", "write", "claim"):
        assert part in drawn


def test_more_agents_than_records() -> None:
    result = run("--seconds", "0.2", "--agents", "1100", "--json")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("wrong", "finding"),
    [
        (LosesTasks, "lost"),
        (DoesEffectsTwice, "duplicates"),
        (DoesHalfOfUnits, "torn"),
        (WritesOldValues, "stale"),
        (Dies, "errors"),
    ],
)
def test_a_wrong_store_fails(broken: Break, wrong: type[Wrong], finding: str) -> None:
    agents = "1" if wrong is LosesTasks else "10"
    result = run("--url", broken(wrong), "--json", "--seconds", "0.5", "--agents", agents)
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)[finding] > 0
    assert "hush" not in result.output


def test_a_failure_is_told_to_people(broken: Break) -> None:
    result = run("--url", broken(Dies), *QUICK)
    assert result.exit_code == 1
    assert "the first that failed: the store does not answer" in result.stdout
    assert result.stdout.endswith("FAILED\n")


def test_a_store_that_is_gone_is_one_sentence(broken: Break) -> None:
    result = run("--url", broken(DiesForGood), "--seconds", "30", "--agents", "10")
    assert result.exit_code == 5
    assert result.stderr.splitlines()[-1] == "hive-state: error: the store does not answer"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("--url", "nowhere://x"), "nowhere"),
        (("--url", "sqlite:////no/such/folder/x.db"), "No such file or directory"),
        (("--agents", "0"), "--agents"),
    ],
)
def test_a_wrong_command_line(args: tuple[str, ...], part: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert part in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("own_store", [True, False])
def test_ctrl_c_leaves_no_namespace_and_no_file(tmp_path: Path, own_store: bool) -> None:
    path = tmp_path / "own.db"
    args = ["--url", f"sqlite:///{path}"] if own_store else []
    process = subprocess.Popen(
        [*CLI, "demo", "--seconds", "60", *args],
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "ops/s" not in process.stderr.readline():  # it is at work
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "hive-state: interrupted"
    if own_store:
        assert _namespaces(path) == []
    else:
        assert list(tmp_path.iterdir()) == []


def _namespaces(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        found = [name for (name,) in db.execute("SELECT namespace FROM control")]
    db.close()
    return found
