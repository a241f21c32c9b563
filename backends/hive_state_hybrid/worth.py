"""Whether the cache is worth asking.

Who reads a great many records once each pays for the cache and gets nothing from it: two trips more for each
read. Such a Store passes the cache by, but for some of the records, which show whether that has changed.
"""

from __future__ import annotations

from hive_state_core.model import RecordRef

WINDOW = 500
"""Reads after which it is judged again."""

LEAST = 0.1
"""Of them so many have to be hits."""

SHARE = 16
"""While it is passed by: of so many records one is asked for, always the same for as long as `ROUND` reads,
so that who reads it again finds it."""

ROUND = 4096


class Worth:
    """Of one Store. `given_up`: False = never, it is always asked."""

    def __init__(self, given_up: bool) -> None:
        self._may = given_up
        self._passes = False
        self._reads = 0
        self._hits = self._all = 0.0
        self._near = 0

    def passes(self, ref: RecordRef) -> bool:
        """Whether to pass the cache by in this read, which nothing at hand answers."""
        if not self._passes:
            return False
        self._reads += 1
        return (hash(ref) + self._reads // ROUND) % SHARE != 0

    def count(self, hits: int, misses: int, near: int) -> None:
        """Of the reads that asked; `near`: of all that were answered from memory, since the beginning."""
        at_hand = (near - self._near) / (SHARE if self._passes else 1)
        self._near = near
        self._hits += hits + at_hand
        self._all += hits + misses + at_hand
        if self._all >= WINDOW:
            self._passes = self._may and self._hits < LEAST * self._all
            self._hits = self._all = 0.0
