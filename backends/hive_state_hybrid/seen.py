"""What this Store told lately, so that it tells nothing older: at bounded, in place of pushing it."""

from __future__ import annotations

from time import monotonic

from hive_state_core.model import RecordRef


class Seen:
    """Remembers for `span` seconds, and not much longer.

    No cache tells what is older than `max_staleness`. So what was read beside the cache needs to be
    remembered for so long only, and nobody else has to hear of it.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._now: dict[RecordRef, int] = {}
        self._before: dict[RecordRef, int] = {}
        self._turned = monotonic()

    def add(self, ref: RecordRef, version: int) -> None:
        if version > self._now.get(ref, 0):
            self._now[ref] = version

    def least(self, ref: RecordRef) -> int:
        """Nothing older is to be told; 0: anything may be."""
        return max(self._now.get(ref, 0), self._before.get(ref, 0))

    def turn(self) -> None:
        """Called now and then: forget what is old enough."""
        now = monotonic()
        if now - self._turned > self._span:
            self._before, self._now, self._turned = self._now, {}, now
