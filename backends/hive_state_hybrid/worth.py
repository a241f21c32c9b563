"""Whether the cache is worth asking.

Who reads a great many records once each pays for the cache and gets nothing from it: two trips more for each
read. Such a Store passes the cache by, and lets some reads through to see whether that has changed.
"""

from __future__ import annotations

WINDOW = 500
"""Reads after which it is judged again."""

LEAST = 0.1
"""Of them so many have to be hits."""

IN_VAIN = 150
"""Reads after which it is judged, too, if not one of them was a hit."""

ROUND, THROUGH = 2048, 64
"""While it is passed by: of so many reads in a row, so many go through, together, and are judged."""


class Worth:
    """Of one Store. `given_up`: False = never, it is always asked."""

    def __init__(self, given_up: bool) -> None:
        self._may = given_up
        self._passes = False
        self._turn = 0
        self._hits = self._all = 0.0
        self._near = 0

    @property
    def passing(self) -> bool:
        """Whether it is passed by at present, but for a few reads."""
        return self._passes

    def passes(self) -> bool:
        """Whether to pass the cache by in this read, which nothing at hand answers."""
        if not self._passes:
            return False
        self._turn = (self._turn + 1) % ROUND
        return self._turn >= THROUGH

    def count(self, hits: int, misses: int, near: int) -> None:
        """Of the reads that asked; `near`: of all that were answered from memory, since the beginning."""
        at_hand = (near - self._near) * (THROUGH / ROUND if self._passes else 1)
        self._near = near
        self._hits += hits + at_hand
        self._all += hits + misses + at_hand
        if self._all >= (THROUGH if self._passes else WINDOW if self._hits else IN_VAIN):
            self._passes = self._may and self._hits < LEAST * self._all
            self._hits = self._all = 0.0
