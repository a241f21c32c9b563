"""Commands with `--embedded`: the server is there for them, and gone after them, however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture
def environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Temporary directories in `place`, no store named, and no configuration."""
    monkeypatch.chdir(place)
    for setting in ("HIVE_STATE_URL", "HIVE_STATE_USE", "HIVE_STATE_CONFIG"):
        monkeypatch.delenv(setting, raising=False)
    return {**os.environ, "TMPDIR": str(place)}


@pytest.mark.parametrize(
    ("preset", "url"), [("postgres", "postgres://hive:***@127.0.0.1:"), ("redis", "redis://:***@127.0.0.1:")]
)
def test_bench_needs_no_argument_but_the_preset(
    environment: dict[str, str], place: Path, preset: str, url: str
) -> None:
    args = ["bench", "--store", preset, "--embedded", "--workload", "get", "--seconds", "0.2", "--json"]
    done = subprocess.run([*CLI, *args], env=environment, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["backend"], row["invariant"]) == (preset, "ok")
    assert row["url"].startswith(url)
    assert list(place.iterdir()) == []


def test_init_and_conform_on_a_server_of_their_own(environment: dict[str, str], place: Path) -> None:
    for args in (["init", "postgres"], ["conform", "postgres", "--select", "cas.stale_refused"]):
        done = subprocess.run([*CLI, *args, "--embedded"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("moment", ["while it starts", "at work"])
def test_ctrl_c_leaves_no_server(environment: dict[str, str], place: Path, moment: str) -> None:
    process = subprocess.Popen(
        [*CLI, "demo", "--store", "postgres", "--embedded", "--seconds", "60"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    if moment == "at work":
        while "ops/s" not in process.stderr.readline():
            assert process.poll() is None
    else:
        while not list(place.glob("*/data")):
            assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "hive-state: interrupted"
    assert list(place.iterdir()) == []
