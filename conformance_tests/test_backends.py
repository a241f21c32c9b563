"""Every check on every backend that comes with hive-state."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from hive_state_conformance.harness import LateHarness, UrlHarness
from hive_state_conformance.pytest_plugin import ConformanceSuite


class TestMemory(ConformanceSuite):
    harness = UrlHarness("memory://")


class TestMemoryAtALateTerm(ConformanceSuite):
    harness = LateHarness(UrlHarness("memory://"))


class TestSharedMemory(ConformanceSuite):
    @pytest.fixture
    def harness(self) -> UrlHarness:
        return UrlHarness(f"memory://conformance-{uuid4().hex}")


class TestSqliteAtALateTerm(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> LateHarness:
        return LateHarness(UrlHarness(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"))


class TestSqlite(ConformanceSuite):
    @pytest.fixture(params=["", "?synchronous=NORMAL"], ids=["full", "normal"])
    def harness(self, tmp_path: Path, request: pytest.FixtureRequest) -> UrlHarness:
        return UrlHarness(f"sqlite:///{tmp_path}/hive.db{request.param}")
