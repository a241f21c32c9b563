"""`hive-state demo --migrate`: its report, that what is wrong fails it, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from hive_state_conformance import demo_command, demo_crew, demo_journey
from hive_state_conformance.demo_audit import Findings
from hive_state_conformance.demo_hive import Hive, Share
from hive_state_conformance.demo_journey_live import HEAD
from hive_state_core import open_store
from hive_state_core.cli import main
from hive_state_core.migration.checking import Checked, Why

from .terminal import run_on_terminal

ALL = os.environ.get("HIVE_STATE_FAULTS") == "all"
KEYS = {
    *("phases", "max_pause_ms", "failed_calls", "lost", "duplicates", "stale_reads", "differences"),
    "rolled_back",
}
QUICK = ("--migrate", "--store", "sqlite", "--agents", "4", "--seconds", "0.4")
CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made. The account of a server can enter it."""
    monkeypatch.setattr(demo_journey, "RECORDS", 100)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o711)
        monkeypatch.setattr("tempfile.tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield place


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["demo", *args])


def test_report(place: Path) -> None:
    result = run(*QUICK, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    found = report["migration"]
    assert found.keys() == KEYS
    names = [passed["name"] for passed in found["phases"]]
    assert names[:5] == ["work", "prepare", "copy", "compare", "switch"]
    assert names[-3:] == ["work on", "compare both ways", "complete"]
    assert "roll back" in names
    assert [found[key] for key in ("failed_calls", "lost", "duplicates", "stale_reads")] == [0] * 4
    assert (found["differences"], found["rolled_back"]) == (0, True)
    assert found["max_pause_ms"] > 0
    assert report["operations"] > 0
    assert list(place.iterdir()) == []


def test_what_differs_stops_the_journey(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(*_: Any) -> Checked:
        return Checked(found={"record agents / x": Why.CORRUPT})

    monkeypatch.setattr(demo_journey, "verify", wrong)
    result = run(*QUICK, "--json")
    assert result.exit_code == 3, result.output
    found = json.loads(result.stdout)["migration"]
    assert (found["differences"], found["rolled_back"]) == (1, False)
    assert found["phases"][-1]["name"] == "compare"


def test_what_was_lost_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lossy(*_: Any) -> Findings:
        return Findings(completed=0, lost=1, duplicates=0, torn=0, stale=0)

    monkeypatch.setattr(demo_journey, "audit", lossy)
    result = run(*QUICK)
    assert result.exit_code == 3, result.output
    assert "1 lost" in result.stdout
    assert result.stdout.endswith("FAILED\n")


def test_a_process_that_dies_ends_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_crew, "PROGRAM", ("-c", "import sys; sys.exit('it broke')"))
    result = run(*QUICK)
    assert result.exit_code == 1
    assert "a process of the hive died: it broke" in result.stderr
    assert list(place.iterdir()) == []


async def test_a_read_that_is_older_than_what_had_to_be_seen_is_counted() -> None:
    async with open_store("memory://", janitor=False) as store:
        hive = Hive(store, agents=1, records=10, share=Share(0, 1))
        await hive.prepare()
        await hive.work(0.05)
        assert hive.told().wrong_reads == 0
        for number in range(10):
            hive.seen[number] = 2**52
        await hive.work(0.05)
        assert hive.told().wrong_reads > 0


@pytest.mark.parametrize("colour", [True, False] if ALL else [True])
def test_on_a_terminal_the_step_is_drawn_over(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    done, drawn = run_on_terminal(*CLI, "demo", *QUICK)
    assert done.returncode == 0, drawn
    assert "Nothing was lost" in done.stdout
    assert "\x1b[F" in drawn
    assert ("\x1b[32m" in drawn) is colour
    assert "\x1b" not in done.stdout


def interrupt(args: list[str], after: float) -> None:
    """Ctrl-C, as a terminal sends it: to all that are in its foreground."""
    process = subprocess.Popen(
        [*CLI, "demo", *args], stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
    )
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (130, 0, -signal.SIGINT), err
    assert "Traceback" not in err or process.returncode == -signal.SIGINT, err
    assert process.returncode == 0 or out == ""


def test_ctrl_c_leaves_nothing(place: Path) -> None:
    interrupt([*QUICK[:-1], "60"], 3.0)
    assert list(place.iterdir()) == []


if ALL:

    @pytest.mark.parametrize("seed", range(12))
    def test_ctrl_c_at_any_instant_leaves_no_server(place: Path, seed: int) -> None:
        interrupt(["--migrate", "--seconds", "2", "--agents", "10"], random.Random(seed).uniform(0, 20))
        assert list(place.iterdir()) == []
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(place) not in running

    def test_to_postgresql_with_valkey(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo_journey, "RECORDS", 10_000)
        result = run("--migrate", "--json", "--seconds", "8")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["url"].startswith("hybrid://")
        assert report["migration"]["rolled_back"]
        assert list(place.iterdir()) == []


def test_on_one_terminal_the_steps_are_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each was when it was done; where what is printed goes elsewhere it is told there too."""
    migration = SimpleNamespace(phases=[], max_pause_ms=1.0, differences=0, stale_reads=0)
    counted = dict.fromkeys(("lost", "duplicates", "torn", "stale", "errors"), 0)
    report = SimpleNamespace(migration=migration, ok=True, differs=False, first_error=None, **counted)
    demo_command._tell_journey(cast(Any, report))
    assert HEAD in capsys.readouterr().out
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    demo_command._tell_journey(cast(Any, report))
    told = capsys.readouterr().out
    assert HEAD not in told
    assert "Nothing was lost" in told
