"""The whole suite, and what of it depends on large numbers in a late term."""

from __future__ import annotations

import pytest

from hive_state_conformance.harness import LateHarness, UrlHarness
from tests.suite_parts import PARTS, not_held


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
async def test_level_full(url: str, part: int) -> None:
    assert await not_held(UrlHarness(url), part) == []


@pytest.mark.no_cover
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
async def test_at_a_late_term(url: str, part: int) -> None:
    """Lua shows numbers with 14 digits."""
    assert await not_held(LateHarness(UrlHarness(url)), part) == []
