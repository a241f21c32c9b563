"""Latencies of calls, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hive_state_core.histogram import Histogram


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """In milliseconds; all 0 if there was no call."""

    p50: float
    p95: float
    p99: float
    max: float


def latency_of(seconds: Sequence[float]) -> Latency:
    """Of durations in any order. A percentile is one of the durations: the nearest rank."""
    ranked = sorted(seconds)
    return Latency(p50=_at(ranked, 0.50), p95=_at(ranked, 0.95), p99=_at(ranked, 0.99), max=_at(ranked, 1.0))


def latency_in(found: Histogram) -> Latency:
    """The same, of durations that were counted: a percentile is off by 3 % at most."""
    told = found.latency()
    return Latency(p50=told.p50_ms, p95=told.p95_ms, p99=told.p99_ms, max=told.max_ms)


def _at(ranked: Sequence[float], share: float) -> float:
    if not ranked:
        return 0.0
    place = min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))
    return round(ranked[place] * 1000, 4)
