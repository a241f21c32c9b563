"""`hive-state bench`: its figures, its invariants (a wrong store fails), and a clean end in every case."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from hive_state_conformance.bench import ratios
from hive_state_conformance.latency import Latency, latency_of
from hive_state_conformance.workloads import WORKLOADS
from hive_state_conformance.workloads_values import state
from hive_state_core.cli import main
from hive_state_core.model import ReadRef, RecordImage
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Claimed,
    ClaimedEvents,
    ClaimedTasks,
    ClaimRequest,
    Committed,
    Complete,
    Driver,
    Enqueue,
    Enqueued,
    Op,
    OpResult,
    Outcome,
    Put,
    Reply,
    ScanImage,
)

ROW = {
    *("url", "backend", "workload", "agents", "operations", "ops_per_s", "cpu_us", "invariant"),
    *("p50_ms", "p95_ms", "p99_ms", "max_ms"),
}
RAW = {"raw_ops_per_s", "raw_cpu_us", "raw_p50_ms", "raw_p99_ms", "ratio", "ratio_low", "ratio_high"}
QUICK = ("--seconds", "0.3", "--agents", "10")
CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture(autouse=True)
def few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_conformance.workloads_base.KEYS", 1000)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["bench", *args])


def rows_of(result: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return rows


def test_a_ratio_is_that_of_turns_side_by_side() -> None:
    """One that was disturbed moves it little; one in which the other side did nothing is left out."""
    assert ratios([30.0, 40.0, 90.0, 5.0, 1.0], [10.0, 20.0, 30.0, 1.0, 0.0]) == (2.25, 3.0, 4.5)
    assert ratios([1.0, 1.0], [0.0, 1.0]) == (None, None, None)


class Wrong:
    """A driver that does what another does; below, but for one thing."""

    every = 10  # also a slow machine comes so far

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    def its_turn(self) -> bool:
        self.calls += 1
        return self.calls % self.every == 0


class Drops(Wrong):
    """Acknowledges every 10th operation of a kind, and does not do it."""

    kind: type[Op] = Put

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        kept = [
            b for b in batches if len(b.ops) > 1 or type(b.ops[0]) is not self.kind or not self.its_turn()
        ]
        if len(kept) == len(batches) or not kept:
            return await self.driver.commit(batches, trip_id)
        reply = await self.driver.commit(kept, trip_id)
        done = dict(zip(map(id, kept), reply.results, strict=True))
        version = max(outcome.version for outcome in reply.results if isinstance(outcome, Committed))
        lies = [done.get(id(b)) or Committed(version, reply.at, (self.lie(b.ops[0]),)) for b in batches]
        return Reply(reply.epoch, reply.at, lies)

    def lie(self, op: Op) -> OpResult:
        return Enqueued(op.ref.id, True) if isinstance(op, Enqueue) else None


class LosesTasks(Drops):
    kind = Enqueue


class ForgetsToComplete(Drops):
    kind = Complete


class ChecksNothing(Wrong):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        return await self.driver.commit([Batch(batch.ops) for batch in batches], trip_id)


class ReadsAnother(Wrong):
    """Every 5th read gives an older state of the record."""

    every = 5

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await self.driver.read(refs, fresh)
        if not self.its_turn():
            return reply
        first, *others = reply.results
        assert isinstance(first, RecordImage)
        return Reply(reply.epoch, reply.at, [msgspec.structs.replace(first, value=b'{"step":-1}'), *others])


class ClaimsTwice(Wrong):
    """Every 5th claim gives what the one before it gave."""

    every = 5
    last: ClaimedTasks | None = None

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await self.driver.claim(requests, trip_id)
        results = list(reply.results)
        if self.its_turn() and self.last is not None:
            results[0] = self.last
        last = results[-1]
        self.last = last if isinstance(last, ClaimedTasks) and last.tasks else self.last
        return Reply(reply.epoch, reply.at, results)


class LosesEvents(Drops):
    """Events are acknowledged with the next seq, and are not there."""

    kind = Append

    def lie(self, op: Op) -> OpResult:
        return 10**6 + self.calls


class HandsOutTwice(Wrong):
    """Every 5th claim of events gives what the one before it gave."""

    every = 5
    last: ClaimedEvents | None = None

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await self.driver.claim(requests, trip_id)
        results = list(reply.results)
        if self.its_turn() and self.last is not None:
            results[0] = self.last
        last = results[-1]
        self.last = last if isinstance(last, ClaimedEvents) and last.deliveries else self.last
        return Reply(reply.epoch, reply.at, results)


class ForgetsToAck(Drops):
    kind = Ack


Break = Callable[[type[Wrong]], str]


def test_rows_of_all_workloads_beside_the_baseline(tmp_path: Path) -> None:
    result = run(f"sqlite:///{tmp_path}/b.db", "--raw", "--json", "--seconds", "0.1", "--agents", "10")
    assert result.exit_code == 0, result.output
    rows = rows_of(result)
    assert [row["workload"] for row in rows] == [name for name, kind in WORKLOADS.items() if not kind.cached]
    for row in rows:
        assert row.keys() == ROW | RAW
        assert row["invariant"] == "ok"
        assert row["agents"] == 10
        assert row["operations"] > 0
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert _left(tmp_path) == ([], [])


def test_environment_says_what_the_figures_depend_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/b.db?synchronous=NORMAL"
    result = run(url, "--raw", "--json", "--workload", "get", *QUICK)
    found = json.loads(result.stdout)["environment"]
    assert found.keys() == {
        *("cores", "machine", "platform", "python", "hive_state", "libraries", "stores"),
    }
    assert found["libraries"]["aiosqlite"]
    assert {side: about["synchronous"] for side, about in found["stores"][url].items()} == {
        "store": "NORMAL",
        "raw": "NORMAL",
    }


def test_memory_has_no_baseline_and_says_so() -> None:
    plain = run("memory://", "--json", "--workload", "cas", *QUICK)
    assert plain.exit_code == 0, plain.output
    assert rows_of(plain)[0].keys() == ROW
    raw = run("memory://", "--json", "--raw", "--workload", "cas", *QUICK)
    assert {rows_of(raw)[0][key] for key in RAW} == {None}


def test_several_stores_and_numbers_of_agents(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in "ab"]
    result = run(*urls, "--json", "--workload", "enqueue", "--seconds", "0.1", "--agents", "3,1")
    assert [(row["url"], row["agents"]) for row in rows_of(result)] == [(u, n) for u in urls for n in (3, 1)]


def test_a_table_for_people(tmp_path: Path) -> None:
    result = run(f"sqlite:///{tmp_path}/b.db", "--raw", "--workload", "put,cas", *QUICK)
    assert result.exit_code == 0, result.output
    url, head, *rows = result.stdout.splitlines()
    assert url == f"sqlite:///{tmp_path}/b.db"
    assert head.split()[:2] == ["workload", "agents"]
    assert [row.split()[0] for row in rows] == ["put", "cas"]
    assert len({len(line) for line in (head, *rows)}) == 1


@pytest.mark.parametrize(
    ("workload", "wrong"),
    [
        ("get", ReadsAnother),
        ("put", Drops),
        ("cas", Drops),
        ("cas", ChecksNothing),
        ("enqueue", LosesTasks),
        ("claim_complete", ClaimsTwice),
        ("claim_complete", ForgetsToComplete),
        ("append", LosesEvents),
        ("publish_consume", HandsOutTwice),
        ("publish_consume", ForgetsToAck),
    ],
)
def test_a_wrong_store_fails(broken: Break, workload: str, wrong: type[Wrong]) -> None:
    result = run(broken(wrong), "--json", "--workload", workload, *QUICK)
    assert result.exit_code == 3, result.output
    assert rows_of(result)[0]["invariant"] != "ok"
    assert "hush" not in result.output


def test_what_broke_is_told_to_people(broken: Break) -> None:
    result = run(broken(LosesTasks), "--workload", "enqueue", *QUICK)
    assert result.exit_code == 3
    assert "BROKEN" in result.stdout
    assert "an acknowledged task that is lost" in result.stdout


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (
            ("memory://", "--workload", "get,swim"),
            "claim_complete, append, publish_consume",
        ),
        (("memory://", "--agents", "0"), "'0' is not a number"),
        (("memory://", "--agents", "2,x"), "'2,x' is not a number"),
        ((), "Missing argument"),
        (("memory://", "nowhere://x"), "nowhere"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_measured(
    args: tuple[str, ...], part: str
) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert part in result.stderr
    assert result.stdout == ""


def test_ctrl_c_leaves_no_namespace_and_no_baseline(tmp_path: Path) -> None:
    args = [f"sqlite:///{tmp_path}/b.db", "--raw", "--workload", "put", "--seconds", "60"]
    process = subprocess.Popen(
        [*CLI, "bench", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _until(lambda: any(tmp_path.glob("*baseline*")) and _at_work(tmp_path))
        time.sleep(2)  # it is prepared, and measures
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (130, "", "hive-state: interrupted\n")
    assert _left(tmp_path) == ([], [])


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_have_names_and_summaries(name: str) -> None:
    assert WORKLOADS[name].name == name
    assert WORKLOADS[name].summary


def test_states_are_of_about_500_bytes_and_all_different() -> None:
    encoded = {msgspec.json.encode(state(number, step)) for number in range(1000) for step in (0, 1)}
    assert len(encoded) == 2000
    assert all(450 <= len(each) <= 550 for each in encoded)


def test_percentiles_are_the_nearest_rank() -> None:
    hundred = [n / 1000 for n in range(100, 0, -1)]
    assert latency_of(hundred) == Latency(p50=50.0, p95=95.0, p99=99.0, max=100.0)
    assert latency_of([0.007]) == Latency(p50=7.0, p95=7.0, p99=7.0, max=7.0)
    assert latency_of([0.001, 0.002]) == Latency(p50=1.0, p95=2.0, p99=2.0, max=2.0)
    assert latency_of([]) == Latency(p50=0.0, p95=0.0, p99=0.0, max=0.0)


def _left(folder: Path) -> tuple[list[str], list[str]]:
    """Namespaces in the store, and files of a baseline."""
    with sqlite3.connect(folder / "b.db") as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        found = (
            [name for (name,) in db.execute("SELECT namespace FROM control")] if "control" in tables else []
        )
    db.close()
    return found, [path.name for path in folder.glob("*baseline*")]


def _at_work(folder: Path) -> bool:
    try:
        return _left(folder)[0] != []
    except sqlite3.OperationalError:  # it is just being made
        return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


HYBRID = """
[stores.durable]
url = "sqlite:///{folder}/hive.db?synchronous=NORMAL"

[stores.fast]
url = "memory://bench"

[stores.both]
backend = "hybrid"
durable = "durable"
fast = "fast"
"""


def test_reads_through_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hive-state.toml").write_text(HYBRID.format(folder=tmp_path))
    monkeypatch.chdir(tmp_path)
    result = run("both", "--json", "--raw", "--workload", "get_hot,get_cold,put", *QUICK)
    assert result.exit_code == 0, result.output
    hot, cold, put = rows_of(result)
    assert [hot["invariant"], cold["invariant"], put["invariant"]] == ["ok"] * 3
    assert hot["ratio"] is None, "the memory of the process has no baseline"
    assert cold["ratio"] > 0
    assert put["ratio"] > 0


def test_a_workload_for_caches_is_none_for_others() -> None:
    result = run("memory://", "--workload", "get_hot", *QUICK)
    assert result.exit_code == 1
    assert "the workload get_hot needs cache, which this store does not offer" in result.output
