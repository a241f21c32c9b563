"""`hive-state conform`, and what importing the suite costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hive_state_conformance
from hive_state_conformance.checking import all_checks
from hive_state_conformance.conform_command import conform
from hive_state_conformance.coverage import WITHOUT, checks_by_number
from hive_state_conformance.reference import reference

ROOT = Path(hive_state_conformance.__file__).parents[2]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hive_state_core.cli", "conform", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def test_json_is_one_object() -> None:
    done = run("memory://", "--json", "--select", "cas.stale_refused", "--select", "B")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert {"level", "tiers", "suite_version", "features", "checks"} <= set(shown)
    assert shown["level"] == "none"
    assert shown["checks"]["cas.stale_refused"] == shown["checks"]["keys.longest"] == "passed"
    assert shown["checks"]["cas.touch_is_a_write"] == "not-run"
    assert done.stderr == ""


def test_text_and_progress() -> None:
    done = run("memory://", "--select", "keys")
    assert done.returncode == 0
    assert "level none" in done.stdout
    assert "[1/9] passed   keys." in done.stderr


def test_list() -> None:
    assert run("--list").stdout.count("\n") == len(all_checks())
    listed = json.loads(run("--list", "--json", "--select", "F").stdout)
    assert set(listed["contracts"]) == {check.id for check in all_checks() if check.area == "F"}


@pytest.mark.parametrize("args", [(), ("nothing://",), ("memory://", "--select", "no.such")])
def test_usage(args: tuple[str, ...]) -> None:
    assert run(*args).returncode == 2


def test_failures_exit_with_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hive_state_conformance import harness
    from hive_state_conformance.mutants import MUTANTS, MutantHarness

    right = harness.UrlHarness
    wrong = MUTANTS["IgnoresVersionChecks"]
    monkeypatch.setattr(harness, "UrlHarness", lambda url: MutantHarness(right(url), wrong))
    args = ["memory://", "--json", "--select", "cas.stale_refused"]
    assert conform.main(args, standalone_mode=False) == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown["checks"]["cas.stale_refused"] == "failed"
    assert "Conflict was not raised" in shown["failures"]["cas.stale_refused"]


def test_a_store_in_use_keeps_its_data(tmp_path: Path) -> None:
    import asyncio

    from hive_state_core.store import open_store

    url = f"sqlite:///{tmp_path}/hive.db"

    async def stored() -> list[str]:
        async with open_store(url) as store:
            await store.records.put("c", "mine", 1)
            return [record.key async for record in store.records.list("c")]

    assert asyncio.run(stored()) == ["mine"]
    assert run(url, "--select", "A", "--select", "O").returncode == 0
    assert asyncio.run(stored()) == ["mine"]


def test_import_is_light() -> None:
    unwanted = {"pytest", "hypothesis", "hive_state_conformance.runner", "click"}
    code = f"import sys, hive_state_conformance; print(*sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_suite_knows_no_backend_by_name() -> None:
    for path in Path(hive_state_conformance.__file__).parent.rglob("*.py"):
        if path.name.startswith(("bench", "demo", "workloads")):
            continue
        text = path.read_text()
        named = [name for name in ("sqlite", "memory://", "hive_state_memory") if name in text]
        assert not named, f"{path} names {named}"


def test_every_number_of_the_list_has_a_check_or_a_reason() -> None:
    without = {number for number, checks in checks_by_number().items() if not checks}
    assert without == set(WITHOUT)


def test_reference_page_is_current() -> None:
    page = ROOT / "docs" / "reference" / "conformance.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "run: python -m hive_state_conformance.reference docs/reference/conformance.md"
    )
