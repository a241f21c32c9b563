"""Durations in a bounded room, and percentiles from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

_FINE = 5
"""Bits of a duration that are kept: 16 steps an octave, so a percentile is off by 3 % at most."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` of a kind (as their samples stand for them), and milliseconds; all 0 if there was none."""

    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Histogram(msgspec.Struct):
    """Durations counted in steps that grow with them, from 1 microsecond up: bounded, whatever comes.

    Two of them can be added, and an earlier state of one subtracted, so that they can be told by process,
    by hive and by span of time. `slots`: how many were in each step; `longest` is exact, in seconds.
    """

    slots: dict[int, int] = msgspec.field(default_factory=dict)
    longest: float = 0.0

    def note(self, seconds: float, calls: int = 1) -> None:
        micros = int(seconds * 1e6)
        drop = micros.bit_length() - _FINE
        slot = (drop << _FINE - 1) + (micros >> drop) if drop > 0 else micros
        slots = self.slots
        slots[slot] = slots.get(slot, 0) + calls
        if seconds > self.longest:
            self.longest = seconds

    def copy(self) -> Histogram:
        return Histogram(dict(self.slots), self.longest)

    def add(self, other: Histogram) -> None:
        for slot, calls in other.slots.items():
            self.slots[slot] = self.slots.get(slot, 0) + calls
        self.longest = max(self.longest, other.longest)

    def since(self, earlier: Histogram) -> Histogram:
        """What was noted since that state of it. Its longest is exact only if it is of that time."""
        new = {slot: calls - earlier.slots.get(slot, 0) for slot, calls in self.slots.items()}
        kept = {slot: calls for slot, calls in new.items() if calls > 0}
        longest = self.longest if self.longest > earlier.longest else _middle(max(kept, default=0))
        return Histogram(kept, longest)

    @property
    def calls(self) -> int:
        return sum(self.slots.values())

    def latency(self) -> Latency:
        calls = self.calls
        p50, p95, p99 = self._ranks(calls, (0.50, 0.95, 0.99))
        return Latency(calls=calls, p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=_ms(self.longest))

    def _ranks(self, calls: int, shares: Sequence[float]) -> Iterator[float]:
        """For each share the middle of the step in which it is reached, in milliseconds."""
        steps = sorted(self.slots.items())
        for share in shares:
            left = share * calls
            found = 0.0
            for slot, count in steps:
                found = _middle(slot)
                left -= count
                if left <= 0:
                    break
            yield _ms(min(found, self.longest))


def _middle(slot: int) -> float:
    """Seconds, in the middle of the step."""
    drop = max((slot >> _FINE - 1) - 1, 0)
    return ((slot - (drop << _FINE - 1) << drop) + (1 << drop) / 2) / 1e6


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
