"""A hive of several processes moves from SQLite to PostgreSQL, whatever becomes of the server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
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


if ALL:  # each waits for connections that nobody answers: minutes

    @pytest.mark.parametrize("drill", [gone_before_the_switch, gone_after_the_seal, gone_after_the_decision])
    def test_a_server_that_dies(tmp_path: Path, server: Any, drill: Any) -> None:
        drill(tmp_path, server)
