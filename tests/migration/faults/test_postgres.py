"""A hive of several processes moves from SQLite to PostgreSQL, whatever becomes of the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hive_state_core.cli.frame import EXIT
from hive_state_core.embedded import postgres_server

from .hive import ALL, Hive, store_of

pytestmark = pytest.mark.timeout(240)

START = ("start", "--from", "local", "--to", "prod")


@pytest.fixture
def server() -> Iterator[Any]:
    with postgres_server() as server:
        yield server


def gone_before_the_switch(tmp_path: Path, server: Any) -> None:
    """The agents work on, and nobody switches; once it is back all is sent."""
    with Hive(tmp_path, store_of(server.url)) as hive:
        hive.begin("moving", "local")
        hive.succeed(*START)
        server.kill()
        before = hive.said()
        hive.work(2)
        assert hive.said() > before + 20
        assert hive.migrate("switch").exit_code == EXIT.UNREACHABLE
        server.start()
        hive.succeed("verify")
        hive.succeed("switch")
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


def gone_after_the_seal(tmp_path: Path, server: Any) -> None:
    """The hive goes on in the old store, and no agent is told of it."""
    with Hive(tmp_path, store_of(server.url)) as hive:
        hive.begin("moving", "local")
        hive.succeed(*START)
        switching = hive.popen("switch", fail=("switch: sealed", "stop"))
        hive.until_phase("switch")
        server.kill()
        switching.send_signal(signal.SIGCONT)
        _, told = switching.communicate(timeout=60)
        assert switching.returncode in (EXIT.UNREACHABLE, EXIT.FAILED), told
        hive.work()
        server.start()
        hive.until_phase("verified")
        hive.succeed("switch")
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


def gone_after_the_decision(tmp_path: Path, server: Any) -> None:
    """Nobody writes to the old store; once the new one is back it is open."""
    with Hive(tmp_path, store_of(server.url)) as hive:
        hive.begin("local")
        hive.succeed(*START)
        switching = hive.popen("switch", fail=("switch: moved", "stop"))
        hive.until_stopped(switching)
        server.kill()
        before = hive.export("local")
        switching.send_signal(signal.SIGCONT)
        _, told = switching.communicate(timeout=60)
        assert switching.returncode, told
        hive.work(2)
        assert hive.export("local") == before
        server.start()
        hive.begin("moving")
        hive.work()
        assert hive.status()["phase"] == "reverse"
        hive.audit(hive.end(excused="Unavailable"))
        hive.require_equal()


def hangs_for_a_minute(tmp_path: Path, server: Any) -> None:
    """The agents work on all the time, and do not grow; the hive is not moved on until somebody says so."""
    with Hive(tmp_path, store_of(server.url)) as hive:
        hive.begin("moving", "local")
        hive.succeed(*START)
        before = [memory_mb(process.running.pid) for process in hive.processes]
        with frozen(server.pid):
            for _ in range(10):
                said = hive.said()
                hive.work(6)
                assert hive.said() > said + 20
        hive.until_phase("verified", "copied")
        assert hive.status()["paused_by"] == "infrastructure"
        after = [memory_mb(process.running.pid) for process in hive.processes]
        assert all(now < then + 64 for then, now in zip(before, after, strict=True)), (before, after)
        hive.succeed("resume")
        switched_in_the_end(hive)
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


def switched_in_the_end(hive: Hive) -> None:
    """What has waited so long to be sent takes the hive back a phase, until it is sent."""
    for _ in range(40):
        hive.succeed("verify")
        if hive.migrate("switch").exit_code == 0:
            return
        hive.work()
    raise AssertionError(hive.status())


@contextmanager
def frozen(server: int) -> Iterator[None]:
    """It takes connections, and nothing else."""
    stopped: list[int] = []
    try:
        for pid in (server, *children(server)):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def children(pid: int) -> Iterator[int]:
    """Looked for once `pid` is stopped itself."""
    yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def memory_mb(pid: int) -> float:
    """Pages of 4 KiB that it has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) / 256


DRILLS = [
    gone_before_the_switch,
    gone_after_the_seal,
    gone_after_the_decision,
    pytest.param(hangs_for_a_minute, marks=pytest.mark.timeout(480)),
]

if ALL:  # each waits for connections that nobody answers: minutes

    @pytest.mark.parametrize("drill", DRILLS)
    def test_a_server_that_dies_or_hangs(tmp_path: Path, server: Any, drill: Any) -> None:
        drill(tmp_path, server)
