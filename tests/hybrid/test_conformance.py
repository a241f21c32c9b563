"""The whole suite, at each level of consistency; and with a cache that cannot be reached."""

from __future__ import annotations

import pytest

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.report import Level, Report, Status
from hive_state_conformance.runner import conform

from .conftest import Hybrid

LEVELS = ["linearizable", "bounded", "session"]


def failed(report: Report) -> list[str]:
    return [f"{each.check.id}: {each.reason}" for each in report.results if each.status is Status.FAILED]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", LEVELS)
async def test_level_full_on_postgres_and_valkey(
    level: str, durable_url: str, valkey_url: str, hybrid: Hybrid
) -> None:
    report = await conform(UrlHarness(hybrid(durable_url, valkey_url, consistency=level)))
    assert not failed(report)
    assert report.level is Level.FULL
