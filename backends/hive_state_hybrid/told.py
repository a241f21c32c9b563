"""Which trips of this Store have reached the cache whole, so that nobody need push again what they wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Told:
    """Remembers the versions of trips that were told since the turn before the last one.

    A push holds for good: who fills an empty place after it has read the record after it. So the marks of
    such a trip have nothing left to drop, be an entry evicted or the server restarted meanwhile.
    """

    def __init__(self) -> None:
        self._now: set[int] = set()
        self._before: set[int] = set()

    def add(self, trips: Iterable[int]) -> None:
        """The pushes of all that these trips wrote have returned."""
        self._now.update(trips)

    def has(self, trip: int) -> bool:
        """Whether nobody is told anything older any more than what this trip wrote."""
        return trip in self._now or trip in self._before

    def turn(self) -> Sequence[int]:
        """Before each round of the relay: those told since the last turn. Earlier ones are forgotten."""
        self._before, self._now = self._now, set()
        return list(self._before)
