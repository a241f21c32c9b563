"""What health says of a cache."""

from __future__ import annotations

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
