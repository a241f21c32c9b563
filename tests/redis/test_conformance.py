"""The whole suite, and what of it depends on large numbers in a late term."""

from __future__ import annotations

import pytest

from hive_state_conformance.harness import LateHarness, UrlHarness
from hive_state_conformance.report import Status
from hive_state_conformance.runner import conform
from tests.suite_parts import PARTS, not_held

LATE = ("cas.*", "atomic.*", "images.*", "rows.*", "moved.*", "queue.*", "group.*", "trip.*")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
async def test_level_full(url: str, part: int) -> None:
    assert await not_held(UrlHarness(url), part) == []


@pytest.mark.no_cover
@pytest.mark.timeout(300)
async def test_at_a_late_term(url: str) -> None:
    """Lua shows numbers with 14 digits: what compares, hands over and carries on versions."""
    report = await conform(LateHarness(UrlHarness(url)), select=LATE)
    assert not [result for result in report.results if result.status is Status.FAILED]
