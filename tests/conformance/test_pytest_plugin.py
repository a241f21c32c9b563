"""What a third party writes: a conftest of one line and a test module of a few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest
from hive_state_conformance import UrlHarness
from hive_state_conformance.mutants import MUTANTS, MutantHarness
from hive_state_conformance.pytest_plugin import ConformanceSuite

RIGHT = UrlHarness("memory://")
WRONG = MutantHarness(RIGHT, MUTANTS["IgnoresVersionChecks"])

class Some(ConformanceSuite):
    select = ("cas", "records.survive_reopen")

class TestRight(Some):
    harness = RIGHT

class TestByFixture(Some):
    @pytest.fixture(params=["memory://", "memory://third-party"])
    def harness(self, request):
        return UrlHarness(request.param)

class TestWrong(Some):
    harness = WRONG

class TestKnown(Some):
    harness = WRONG
    known = {"cas.stale_refused": "issue 12"}

class TestSurprise(Some):
    harness = RIGHT
    known = {"cas.stale_refused": "issue 12"}

class TestWithout(Some):
    pass
"""


def run(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["hive_state_conformance.pytest_plugin"]\n')
    (tmp_path / "test_third_party.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-rA", *args]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, cwd=tmp_path, env=unmeasured, capture_output=True, text=True, timeout=50)


def test_each_check_is_a_test_with_its_id(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "cas.stale_refused")
    one = "test_conforms[cas.stale_refused]"
    assert f"PASSED test_third_party.py::TestRight::{one}" in done.stdout, done.stdout
    assert done.stdout.count("PASSED test_third_party.py::TestByFixture::") == 2
    assert f"FAILED test_third_party.py::TestWrong::{one}" in done.stdout
    assert "Contract: put with a stale version" in done.stdout
    assert f"XFAIL test_third_party.py::TestKnown::{one} - issue 12" in done.stdout
    assert f"FAILED test_third_party.py::TestSurprise::{one}" in done.stdout
    assert "it passes, but is listed as known to fail: issue 12" in done.stdout
    assert f"ERROR test_third_party.py::TestWithout::{one}" in done.stdout
    assert "a suite needs a `harness`" in done.stdout


def test_assertions_are_rewritten_and_what_cannot_run_is_skipped(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "TestWrong and version_of_absent or TestRight and survive_reopen")
    assert "SKIPPED [1]" in done.stdout, done.stdout
    assert "durability=volatile" in done.stdout
    assert "Conflict was not raised; the answer was" in done.stdout
