"""The whole suite, at each level of consistency; and with a cache that cannot be reached."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.report import Level, Report, Status
from hive_state_conformance.runner import conform
from hive_state_core.features import Wake
from hive_state_core.model import Topic
from hive_state_hybrid.driver import HybridDriver

from .conftest import Hybrid

LEVELS = ["linearizable", "bounded", "session"]

READ = ["records.*", "cas.*", "atomic.*", "sessions.*", "expiry.*", "control.*"]
"""What a cache stands in front of."""

BESIDE = ["images.*", "notes.*"]
"""What it could come in the way of, at any level."""


def failed(report: Report) -> list[str]:
    return [f"{each.check.id}: {each.reason}" for each in report.results if each.status is Status.FAILED]


SELECTED = [
    (LEVELS[0], READ + BESIDE),
    *[pytest.param(level, READ, marks=pytest.mark.no_cover) for level in LEVELS[1:]],
]
"""What differs between the levels has tests of its own; measuring doubles what the suite takes."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("level", "select"), SELECTED, ids=LEVELS)
async def test_what_concerns_the_cache(
    level: str, select: list[str], tmp_path: Path, valkey_url: str, hybrid: Hybrid
) -> None:
    durable = f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"
    report = await conform(UrlHarness(hybrid(durable, valkey_url, consistency=level)), select=select)
    assert not failed(report)


faults = pytest.mark.skipif(
    os.environ.get("HIVE_STATE_FAULTS") != "all", reason="takes minutes: nox -s faults"
)


@faults
@pytest.mark.timeout(540)
@pytest.mark.parametrize("level", LEVELS)
async def test_level_full_on_postgres_and_valkey(
    level: str, durable_url: str, valkey_url: str, hybrid: Hybrid
) -> None:
    report = await conform(UrlHarness(hybrid(durable_url, valkey_url, consistency=level)))
    assert not failed(report)
    assert report.level is Level.FULL


async def test_short_with_a_cache_that_is_gone(durable_url: str, valkey: Any, hybrid: Hybrid) -> None:
    valkey.kill()
    choice = hybrid(durable_url, valkey.url, consistency="linearizable")
    report = await conform(UrlHarness(choice), select=["records.overwrite.*", "cas.counter_race"])
    assert not failed(report)


@faults
@pytest.mark.timeout(540)
@pytest.mark.parametrize("level", LEVELS)
async def test_level_full_with_a_cache_that_is_gone(
    level: str, durable_url: str, valkey: Any, hybrid: Hybrid
) -> None:
    valkey.kill()
    report = await conform(UrlHarness(hybrid(durable_url, valkey.url, consistency=level)))
    assert not failed(report)
    assert report.level is Level.FULL


@faults
@pytest.mark.timeout(540)
@pytest.mark.parametrize("level", LEVELS)
async def test_level_full_with_a_cache_that_is_restarted(
    level: str, durable_url: str, valkey: Any, hybrid: Hybrid
) -> None:
    """Empty, every two seconds. At linearizable a write waits for a cache that it just lost, for
    `max_staleness`: here not so long that a TTL of the suite runs out meanwhile."""

    over = asyncio.Event()

    async def restart() -> None:
        while not over.is_set():
            await asyncio.sleep(2)
            await asyncio.to_thread(valkey.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(valkey.start)

    restarting = asyncio.create_task(restart())
    choice = hybrid(durable_url, valkey.url, consistency=level, max_staleness=0.4, near_ttl=0.1)
    report = await conform(UrlHarness(choice))
    over.set()
    await restarting
    assert not failed(report)
    assert report.level is Level.FULL


@faults
@pytest.mark.timeout(540)
@pytest.mark.parametrize("level", LEVELS)
async def test_level_full_with_every_wake_up_lost(
    level: str, durable_url: str, valkey_url: str, hybrid: Hybrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the suite but that hints come, which is then not promised."""

    async def deaf(self: HybridDriver, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        await asyncio.sleep(timeout / 1000)
        return frozenset()

    monkeypatch.setattr(HybridDriver, "wait", deaf)
    monkeypatch.setattr(
        HybridDriver, "features", property(lambda self: replace(self._features, wake=Wake.NONE))
    )
    report = await conform(UrlHarness(hybrid(durable_url, valkey_url, consistency=level)))
    assert not failed(report)
    assert report.level is Level.FULL
