"""How long the write trips of a process take: usually, and while the hive is moved."""

from __future__ import annotations

SAMPLES = 20
"""Trips of which a mean is made."""

FORGET = 0.3
"""The weight of the newest mean in what is usual."""


class Tempo:
    """`usual_ms`, `now_ms`: the mean; None: not known yet. `trips`: of which the latter is made."""

    def __init__(self) -> None:
        self.usual_ms: float | None = None
        self.now_ms: float | None = None
        self.trips: int = 0
        self._trips = 0
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        self._trips += 1
        self._seconds += seconds

    def turn(self, *, moving: bool) -> None:
        """Make means of what took place since the last turn, if that is enough."""
        if self._trips < SAMPLES:
            return
        mean = self._seconds / self._trips * 1000
        if moving:
            self.now_ms, self.trips = mean, self._trips
        else:
            self.usual_ms = mean if self.usual_ms is None else (1 - FORGET) * self.usual_ms + FORGET * mean
        self._trips, self._seconds = 0, 0.0
