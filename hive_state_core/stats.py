"""What a Store tells of itself: the counts of its backend, the latencies of its calls, and rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec

from hive_state_core.histogram import Histogram, Latency
from hive_state_core.model import LIVE
from hive_state_core.spi import Stats
from hive_state_core.telemetry import Measured, Traffic


class QueueRate(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks a second that were added and that ended. Told from what is there, so tasks that a retention
    removed meanwhile are missing in both."""

    enqueued: float
    ended: float


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What changed a second, over the `seconds` between two looks. `streams`: events published, `groups`:
    events handed out for the first time, by (stream, group)."""

    seconds: float
    queues: dict[str, QueueRate]
    streams: dict[str, float]
    groups: dict[tuple[str, str], float]


class LaneStats(msgspec.Struct, frozen=True, kw_only=True):
    """How calls travelled together: `largest` is the most in one trip, `took` what the store took for one."""

    trips: int
    calls: int
    largest: int
    took: Latency


class StoreStats(Stats, frozen=True, kw_only=True):
    """`operations` and `agents` (if `telemetry.by_agent` is set): what calls took, of this Store since it
    was made; `lanes`: how they travelled; `errors`: how many there were, by code. `rates`: since the call
    before this one; None at the first."""

    operations: dict[str, Latency]
    agents: dict[str, Latency]
    lanes: dict[str, LaneStats]
    errors: dict[str, int]
    rates: Rates | None


class Sample(msgspec.Struct, frozen=True):
    """What rates are told from. `queues`: tasks (in all, ended); `streams`: seq of the last event."""

    at: int
    queues: dict[str, tuple[int, int]]
    streams: dict[str, int]
    groups: dict[tuple[str, str], int]

    @classmethod
    def of(cls, stats: Stats, heads: Mapping[str, int]) -> Self:
        queues = {}
        for queue, found in stats.queues.items():
            total = sum(found.states.values())
            live = sum(count for state, count in found.states.items() if state in LIVE)
            queues[queue] = (total, total - live)
        groups = {group: found.position for group, found in stats.groups.items()}
        return cls(stats.at, queues, dict(heads), groups)

    def since(self, earlier: Sample) -> Rates | None:
        """None if no time has passed."""
        seconds = (self.at - earlier.at) / 1000
        if seconds <= 0:
            return None

        def rate(now: int, before: int) -> float:
            return round(max(0, now - before) / seconds, 1)

        queues = {}
        for queue, (total, ended) in self.queues.items():
            total_before, ended_before = earlier.queues.get(queue, (0, 0))
            queues[queue] = QueueRate(enqueued=rate(total, total_before), ended=rate(ended, ended_before))
        return Rates(
            seconds=seconds,
            queues=queues,
            streams={name: rate(last, earlier.streams.get(name, 0)) for name, last in self.streams.items()},
            groups={name: rate(seq, earlier.groups.get(name, seq)) for name, seq in self.groups.items()},
        )


def store_stats(stats: Stats, measured: Measured, rates: Rates | None) -> StoreStats:
    """Of the backend's counts, and what was measured."""
    return StoreStats(
        **{field: getattr(stats, field) for field in Stats.__struct_fields__},
        operations=_latencies(measured.operations),
        agents=_latencies(measured.agents),
        lanes={name: _lane(traffic) for name, traffic in measured.lanes.items()},
        errors=measured.errors,
        rates=rates,
    )


def _latencies(histograms: Mapping[str, Histogram]) -> dict[str, Latency]:
    return {name: histogram.latency() for name, histogram in sorted(histograms.items())}


def _lane(traffic: Traffic) -> LaneStats:
    return LaneStats(
        trips=traffic.trips, calls=traffic.calls, largest=traffic.largest, took=traffic.took.latency()
    )
