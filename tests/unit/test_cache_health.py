"""What health says of a cache."""

from __future__ import annotations

import pytest

from hive_state_core.errors import InvalidArgument
from hive_state_core.health import Thresholds, _cache
from hive_state_core.spi import CacheStats


def said(**of: float) -> dict[str, str]:
    cache = CacheStats(connected=True, **{"asked": 0, "hits": 0, **of})  # type: ignore[arg-type]
    return {check.name: check.status for check in _cache(cache, Thresholds())}


def test_a_cache_that_is_hardly_used_is_well() -> None:
    assert said(asked=999, hits=1) == {"cache_connected": "ok"}


def test_few_hits_are_worth_a_look() -> None:
    assert said(asked=1000, hits=899)["cache_hit_ratio"] == "warn"
    assert said(asked=1000, hits=900)["cache_hit_ratio"] == "ok"


def test_and_one_that_cannot_be_reached() -> None:
    (check,) = _cache(CacheStats(connected=False, asked=0, hits=0), Thresholds())
    assert check.status == "warn"
    assert "cannot be reached" in check.sentence


def test_the_store_says_how_many_it_wants_unless_somebody_else_does() -> None:
    cache = CacheStats(connected=True, asked=1000, hits=940, target=0.95)

    def status(limits: Thresholds) -> str:
        return {check.name: check.status for check in _cache(cache, limits)}["cache_hit_ratio"]

    assert status(Thresholds()) == "warn"
    assert status(Thresholds(hit_ratio=0.9)) == "ok"


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(InvalidArgument, match="hit_ratio"):
        Thresholds(hit_ratio=share)
