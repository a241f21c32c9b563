"""The backend that lives outside: built, put on the path, and reached by its entry point alone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hive_state_core.errors import ConfigError, CorruptData, StoreFull, Unavailable
from hive_state_core.url import parse_url
from tests.suite_parts import PARTS, ids_of

PROJECT = Path(__file__).parents[2] / "examples" / "hive-state-journal"
CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `pip install` would put there, its metadata too."""
    folder = tmp_path_factory.mktemp("journal")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run(target: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Unmeasured: what of the core runs here, tests of stores in memory run too.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    env = {**inherited, "PYTHONPATH": str(target), **environment}
    return subprocess.run([*CLI, *args], env=env, capture_output=True, text=True)


def test_it_is_listed_with_its_options(target: Path) -> None:
    listed = json.loads(run(target, "backends", "--json").stdout)
    assert listed["failures"] == []
    (journal,) = (each for each in listed["backends"] if each["name"] == "journal")
    assert [option["name"] for option in journal["options"]] == ["path", "timeout"]
    assert "journal" not in json.dumps(
        json.loads(run(target.parent, "backends", "--json").stdout)["backends"]
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
def test_it_passes_what_it_declares(target: Path, tmp_path: Path, part: int) -> None:
    chosen = [argument for id in ids_of(part) for argument in ("--select", id)]
    done = run(target, "conform", f"journal:///{tmp_path}/hive.journal", "--json", *chosen)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    counts = Counter(report["checks"][id] for id in ids_of(part))
    assert counts.keys() <= {"passed", "refused-as-declared", "not-run"}, counts
    assert counts["passed"] > 50, counts
    not_run = {report["reasons"][id] for id in ids_of(part) if report["checks"][id] == "not-run"}
    assert not_run <= {"news are looked for here, not pushed", "the driver has nothing to make ready"}


def test_its_options_are_checked_like_those_of_any_other(target: Path, tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_text(
        "use = 'a'\n[stores.a]\nbackend = 'journal'\npath = 'x'\ntimeot = 1"  # codespell:ignore timeot
    )
    done = run(target, "config", "check", "--json", HIVE_STATE_CONFIG=str(tmp_path / "hive-state.toml"))
    assert done.returncode == 2
    assert "did you mean timeout?" in json.loads(done.stdout)["stores"][0]["error"]


INCREMENT = """
import asyncio, sys
from hive_state_core import open_store
from hive_state_core.errors import Conflict

async def main():
    async with open_store(sys.argv[1]) as hive:
        for _ in range(30):
            while True:
                record = await hive.records.get("c", "n")
                try:
                    await hive.records.put("c", "n", record.value + 1, if_version=record.version)
                    break
                except Conflict:
                    continue

asyncio.run(main())
"""


@pytest.fixture
def journal(target: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its module, in this process."""
    monkeypatch.syspath_prepend(str(target))
    import hive_state_journal.journal as module  # type: ignore[import-not-found]

    return module


def test_processes_take_turns(target: Path, tmp_path: Path) -> None:
    url = f"journal:///{tmp_path}/hive.journal"
    put = "async with open_store(sys.argv[1]) as hive: await hive.records.put('c', 'n', 0)"
    first = INCREMENT.partition("async def main")[0] + f"async def main():\n    {put}\nasyncio.run(main())"
    env = {**os.environ, "PYTHONPATH": str(target)}
    subprocess.run([sys.executable, "-c", first, url], env=env, check=True)
    workers = [subprocess.Popen([sys.executable, "-c", INCREMENT, url], env=env) for _ in range(3)]
    assert [worker.wait(50) for worker in workers] == [0, 0, 0]
    last = (tmp_path / "hive.journal").read_text().splitlines()[-1]
    assert "90" in last


def test_a_torn_line_is_cut_off_and_a_wrong_one_is_told(journal: Any, tmp_path: Path) -> None:
    path = tmp_path / "j"
    opened = journal.Journal(path, 1.0)
    opened.open()
    assert opened.swap(b"a", None, {b"a": b"1", b"\xff": b"\x00"})
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:9])
    assert opened.get([b"a", b"\xff"]) == [b"1", b"\x00"]
    assert opened.swap(b"a", b"1", {b"\xff": None})
    opened.close()
    opened.open()
    assert opened.get([b"a", b"\xff"]) == [b"1", None]
    opened.close()
    path.write_bytes(whole.replace(b'"1"', b'"2"'))
    with pytest.raises(CorruptData):
        opened.open()


def test_history_goes_when_it_is_opened(
    journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 1000)
    path = tmp_path / "j"
    opened, other = journal.Journal(path, 1.0), journal.Journal(path, 1.0)
    opened.open()
    value = None
    for number in range(100):
        assert opened.swap(b"k", value, {b"k": b"%d" % number})
        value = b"%d" % number
    before = path.stat().st_size
    other.open()
    assert path.stat().st_size < before / 10
    assert other.swap(b"k", b"99", {b"k": b"new"})
    assert opened.get([b"k"]) == [b"new"], "who had the old file open follows"
    opened.close()
    other.close()


def test_a_full_disk_and_a_busy_file(journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    opened = journal.Journal(path, 0.05)
    opened.open()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreFull):
            opened.swap(b"k", None, {b"k": b"v"})
    assert opened.get([b"k"]) == [None]
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="other processes kept"):
            opened.get([b"k"])
    opened.close()


async def test_the_driver_says_what_is_wrong(journal: Any, tmp_path: Path) -> None:
    from hive_state_journal.driver import JournalDriver  # type: ignore[import-not-found]

    with pytest.raises(ConfigError, match="names no file"):
        JournalDriver(parse_url("journal://"), "n")
    driver = JournalDriver(parse_url(f"journal:///{tmp_path}/no/such/file"), "n")
    with pytest.raises(ConfigError, match="No such file or directory"):
        await driver.open()
