"""Those who work in the hive die, sleep or are restarted with another configuration while it moves."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hive_state_core import open_store
from hive_state_core.config_file import read_config

from .hive import ALL, Hive

pytestmark = pytest.mark.timeout(240)

START = ("start", "--from", "local", "--to", "prod")
DOOMED = Path(__file__).with_name("doomed.py")


async def _number(hive: Hive, name: str) -> object:
    config = read_config(hive.folder / "hive-state.toml")
    async with open_store(name, config=config, janitor=False, follow=False) as store:
        record = await store.records.get("c", "doomed")
        return record and record.value


@pytest.mark.parametrize(("when", "written"), [("before", 19), ("after", 20)])
def test_killed_at_a_commit(tmp_path: Path, when: str, written: int) -> None:
    """Before it there is nothing of the write, and after it there is its mark too: it is sent."""
    with Hive(tmp_path) as hive:
        hive.succeed(*START)
        command = [sys.executable, str(DOOMED), when, "20"]
        doomed = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, timeout=60, check=False)
        assert doomed.returncode == -signal.SIGKILL
        assert doomed.stdout.split()[-1] == b"19"
        hive.require_equal()
        assert [asyncio.run(_number(hive, name)) for name in ("local", "prod")] == [written] * 2


@pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: it takes a minute")
def test_killed_at_random_while_the_hive_moves(tmp_path: Path) -> None:
    """Some do the work of the migration too."""
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local", "moving", "local")
        hive.succeed(*START)
        for step in ((), ("switch", "--force"), ("rollback",)):
            if step:
                hive.succeed(*step)
            hive.work(random.uniform(0.2, 0.8))
            working = [process for process in hive.processes if not process.killed]
            hive.kill(random.choice(working[1:]))
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


@pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: it takes a minute")
def test_a_rolling_restart_and_a_zombie(tmp_path: Path) -> None:
    """An old, a dual and a new configuration at once, in each phase; one sleeps through the switch."""
    with Hive(tmp_path) as hive:
        hive.begin("local", "local", "moving")
        hive.succeed(*START)
        hive.begin("prod")
        sleeper = hive.processes[0]
        hive.stop(sleeper)
        hive.succeed("switch", "--force")
        hive.work(1)
        for process in hive.processes[1:3]:
            hive.kill(process)
            hive.begin("prod")
            hive.work()
        sleeper.running.send_signal(signal.SIGCONT)
        hive.work(1)
        hive.audit(hive.end())
        hive.require_equal()
        hive.succeed("complete", "--yes")


@pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: it takes a minute")
def test_the_copy_killed_again_and_again(tmp_path: Path) -> None:
    """In the middle of a page, and between two."""
    with Hive(tmp_path) as hive:
        hive.begin("local", "local")
        hive.work(2)
        for n in range(20):
            action = "kill" if n % 2 else "kill soon"
            killed = hive.popen(*START, "--chunk", "20", fail=("copy: page loaded", action))
            killed.communicate(timeout=60)
            if killed.returncode == 0:
                break
        hive.succeed(*START)
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


@pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: it takes a minute")
def test_killed_in_the_middle_of_a_load(tmp_path: Path) -> None:
    """What was not committed there is sent again."""
    with Hive(tmp_path) as hive:
        hive.begin("local", "local")
        hive.succeed(*START)
        for _ in range(5):
            hive.work()
            killed = hive.popen("run", fail=("pump: images read", "kill soon"))
            killed.communicate(timeout=60)
            assert killed.returncode == -signal.SIGKILL
        hive.audit(hive.end())
        hive.require_equal()
