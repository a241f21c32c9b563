"""The example prints the same on every backend, by the URL alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hive_state_core.cli import main
from hive_state_core.embedded import postgres_server, valkey_server

TRACE = Path(__file__).parents[2] / "examples" / "trace.py"


HYBRID = """
[stores.durable]
url = "{durable}"

[stores.fast]
url = "{fast}"

[stores.both]
backend = "hybrid"
durable = "durable"
fast = "fast"
"""


def trace(store: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, str(TRACE), store],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_trace_is_the_same_on_every_backend(tmp_path: Path) -> None:
    expected = trace("memory://")
    assert "late completion: lease_lost" in expected
    assert trace(f"sqlite:///{tmp_path}/hive.db") == expected
    with postgres_server() as durable, valkey_server() as fast:
        main(["init", durable.url], standalone_mode=False)
        assert trace(durable.url) == expected
        assert trace(fast.url) == expected
        unused = f"{durable.url}{'&' if '?' in durable.url else '?'}schema=both"
        main(["init", unused], standalone_mode=False)
        (tmp_path / "hive-state.toml").write_text(HYBRID.format(durable=unused, fast=fast.url))
        assert trace("both", tmp_path) == expected
