"""Whoever moves a hive dies at a failpoint; the hive works on, and whoever comes next brings it to its end.

`HIVE_STATE_FAULTS=all` (`nox -s faults`) takes every failpoint, else it is a selection.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hive_state_core.migration.failpoints import NAMES

from .hive import ALL, Hive

SHORT = ("copy: page loaded", "switch: sealed", "switch: moved")

pytestmark = pytest.mark.timeout(240)

COMMANDS = {
    "prepare": ("start", "--from", "local", "--to", "prod", "--chunk", "50"),
    "dual": ("start", "--from", "local", "--to", "prod", "--chunk", "50"),
    "copy": ("start", "--from", "local", "--to", "prod", "--chunk", "50"),
    "pump": ("verify",),
    "switch": ("switch",),
    "complete": ("complete", "--yes"),
}
"""During which command each is reached."""

BESIDE = {
    "prepare": ("moving", "local"),
    "dual": ("moving", "local"),
    "copy": ("local", "local"),
    "pump": ("local", "local"),
    "switch": ("moving", "local"),
    "complete": ("moving", "local"),
}
"""Which processes are at work then. A dual-write store would do the work that another one is to die of."""


@pytest.mark.parametrize("name", NAMES if ALL else SHORT)
def test_killed_at(tmp_path: Path, name: str) -> None:
    doomed = COMMANDS[name.partition(":")[0]]
    with Hive(tmp_path) as hive:
        hive.begin(*BESIDE[name.partition(":")[0]])
        hive.work()
        for words in (COMMANDS["prepare"], ("verify",), ("switch",)):
            if words == doomed:
                hive.migrate_until(name, *words)
                hive.work()
            if hive.status()["phase"] != "reverse":
                hive.succeed(*words)
        assert hive.status()["phase"] == "reverse"
        hive.work()
        if doomed == COMMANDS["complete"]:
            hive.migrate_until(name, *doomed)
            lines = hive.end()
            hive.succeed(*doomed)
            hive.audit(lines)
            return
        lines = hive.end()
        hive.audit(lines)
        hive.require_equal()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith("switch")] if ALL else ["switch: moved"]
)
def test_killed_on_the_way_back_at(tmp_path: Path, name: str) -> None:
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local")
        hive.succeed(*COMMANDS["prepare"])
        hive.succeed("switch")
        hive.work()
        hive.migrate_until(name, "rollback")
        hive.until_phase("reverse", "copied")
        if hive.status()["phase"] == "reverse":
            hive.succeed("rollback")
        hive.until_phase("copied")
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


def test_a_coordinator_stopped_between_drain_and_decision(tmp_path: Path) -> None:
    """Others give the switch up; when it wakes it has lost, and says so."""
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local")
        hive.succeed(*COMMANDS["prepare"], "--budget", "0.5")
        zombie = hive.popen("switch", fail=("switch: drained", "stop"))
        hive.until_phase("switch")
        hive.until_phase("verified")
        hive.work()
        zombie.send_signal(signal.SIGCONT)
        _, told = zombie.communicate(timeout=20)
        assert zombie.returncode == 1
        assert "somebody else changed it" in told
        hive.work()
        hive.succeed("switch")
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


def test_a_writer_that_sleeps_through_the_switch(tmp_path: Path) -> None:
    """It looked at the old store before; when it wakes, none of its writes goes there."""
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local", "local")
        hive.succeed(*COMMANDS["prepare"])
        sleeper = hive.processes[1]
        hive.stop(sleeper)
        try:
            hive.succeed("switch", "--force")
            hive.work(1)
        finally:
            sleeper.running.send_signal(signal.SIGCONT)
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()
