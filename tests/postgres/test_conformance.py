"""The whole suite."""

from __future__ import annotations

import pytest

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.report import Status
from hive_state_conformance.runner import conform
from tests.suite_parts import PARTS, not_held


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
async def test_level_full(url: str, part: int) -> None:
    assert await not_held(UrlHarness(url), part) == []


@pytest.mark.timeout(300)
async def test_as_behind_a_pooler_of_transactions(url: str) -> None:
    """Nothing is prepared, set or listened for."""
    report = await conform(UrlHarness(f"{url}&pgbouncer=true"), select=["cas.*", "trip.*", "store.*"])
    assert not [result for result in report.results if result.status is Status.FAILED]
