"""Every check on every backend that comes with hive-state."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from hive_state_conformance.chaos import ChaosHarness, Wakes
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


class TestMemoryWithBadHints(ConformanceSuite):
    """All of queues and streams, whatever becomes of the hints."""

    select = ("H", "I", "J", "locks")

    @pytest.fixture(params=list(Wakes), ids=[wakes.value for wakes in Wakes])
    def harness(self, request: pytest.FixtureRequest) -> ChaosHarness:
        return ChaosHarness(UrlHarness("memory://"), request.param)


class TestSqlite(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> UrlHarness:
        return UrlHarness(f"sqlite:///{tmp_path}/hive.db")


class TestSqliteSyncedNowAndThen(ConformanceSuite):
    select = ("A", "D", "E", "O", "T")

    @pytest.fixture
    def harness(self, tmp_path: Path) -> UrlHarness:
        return UrlHarness(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL")
