"""Every check on every backend that comes with hive-state.

Backends of which another way is measured too are marked `no_cover`: measuring doubles what a check takes.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from hive_state_conformance.chaos import ChaosHarness, Wakes
from hive_state_conformance.harness import LateHarness, UrlHarness, driver_of
from hive_state_conformance.pytest_plugin import ConformanceSuite
from hive_state_core import Store, open_store
from hive_state_core.choosing import choose
from hive_state_core.config import Config
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Phase


class TestMemory(ConformanceSuite):
    harness = UrlHarness("memory://")


@pytest.mark.no_cover
class TestMemoryAtALateTerm(ConformanceSuite):
    harness = LateHarness(UrlHarness("memory://"))


@pytest.mark.no_cover
class TestSharedMemory(ConformanceSuite):
    @pytest.fixture
    def harness(self) -> UrlHarness:
        return UrlHarness(f"memory://conformance-{uuid4().hex}")


@pytest.mark.no_cover
class TestSqliteAtALateTerm(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> LateHarness:
        return LateHarness(UrlHarness(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"))


@pytest.mark.no_cover
class TestMemoryWithBadHints(ConformanceSuite):
    """All of queues and streams, whatever becomes of the hints."""

    select = ("H", "I", "J", "locks")

    @pytest.fixture(params=list(Wakes), ids=[wakes.value for wakes in Wakes])
    def harness(self, request: pytest.FixtureRequest) -> ChaosHarness:
        return ChaosHarness(UrlHarness("memory://"), request.param)


def two_stores(url: str, ending: str = "", **both: str) -> Config:
    """`here` and `there`, and `both` as a dual-write store of them."""
    name = uuid4().hex
    tables = {side: {"url": f"{url}{name}-{side}{ending}"} for side in ("here", "there")}
    pair = {"backend": "dual-write", "primary": "here", "secondary": "there", **both}
    return Config({"stores": {**tables, "both": pair}})


class MovingHarness(UrlHarness):
    """Both of two stores, between which the hive of each namespace is on its way."""

    def __init__(self, config: Config) -> None:
        super().__init__(choose("both", config))
        self._sides = choose("here", config), choose("there", config)

    async def open(self, namespace: str) -> Store:
        here, there = (open_store(side, namespace=namespace, follow=False) for side in self._sides)
        async with here, there:
            live = Live(driver_of(here), driver_of(there), ("here", "there"))
            await live.prepare()
            await live.capture()
            await live.reach(Phase.COPIED)
        return await super().open(namespace)


class TestOneOfTwoStores(ConformanceSuite):
    """One that would follow the hive to the other."""

    @pytest.fixture
    def harness(self) -> UrlHarness:
        return UrlHarness(choose("here", two_stores("memory://")))


class TestDualWrite(ConformanceSuite):
    @pytest.fixture
    def harness(self) -> UrlHarness:
        return UrlHarness(choose("both", two_stores("memory://")))


class TestDualWriteOnTheWay(ConformanceSuite):
    """While all that changes is sent on, and waited for."""

    select = ("A", "D", "T")

    @pytest.fixture
    def harness(self, tmp_path: Path) -> MovingHarness:
        return MovingHarness(two_stores(f"sqlite:///{tmp_path}/", ".db?synchronous=NORMAL", ack="both"))


class TestSqlite(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> UrlHarness:
        return UrlHarness(f"sqlite:///{tmp_path}/hive.db")


@pytest.mark.no_cover
class TestSqliteSyncedNowAndThen(ConformanceSuite):
    select = ("A", "D", "E", "O", "T")

    @pytest.fixture
    def harness(self, tmp_path: Path) -> UrlHarness:
        return UrlHarness(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL")
