"""The example prints the same on every backend, by the URL alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hive_state_core.cli import main
from hive_state_core.embedded import postgres_server, valkey_server

TRACE = Path(__file__).parents[2] / "examples" / "trace.py"


def trace(url: str) -> str:
    done = subprocess.run(
        [sys.executable, str(TRACE), url], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_trace_is_the_same_on_every_backend(tmp_path: Path) -> None:
    expected = trace("memory://")
    assert "late completion: lease_lost" in expected
    assert trace(f"sqlite:///{tmp_path}/hive.db") == expected
    with postgres_server() as server:
        main(["init", server.url], standalone_mode=False)
        assert trace(server.url) == expected
    with valkey_server() as server:
        assert trace(server.url) == expected
