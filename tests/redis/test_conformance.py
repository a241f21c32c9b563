"""The whole suite, and what of it depends on large numbers in a late term."""

from __future__ import annotations

import pytest

from hive_state_conformance.harness import LateHarness, UrlHarness
from hive_state_conformance.report import Level, Status
from hive_state_conformance.runner import conform


@pytest.mark.timeout(540)
async def test_level_full(url: str) -> None:
    report = await conform(UrlHarness(url))
    assert not [result for result in report.results if result.status is Status.FAILED]
    assert report.level is Level.FULL


@pytest.mark.timeout(540)
async def test_at_a_late_term(url: str) -> None:
    """Lua shows numbers with 14 digits."""
    report = await conform(LateHarness(UrlHarness(url)))
    assert not [result for result in report.results if result.status is Status.FAILED]
