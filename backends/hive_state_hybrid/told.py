"""What has reached the cache from here lately, so that the relay need not push it again."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.caching import Entry
from hive_state_core.model import RecordRef


class Told:
    """Remembers what was pushed since the turn before the last one.

    A push holds for good: who fills an empty place after it has read the record after it. So a mark whose
    version was pushed has nothing left to drop, be the entry evicted or the server restarted meanwhile.
    """

    def __init__(self) -> None:
        self._now: dict[RecordRef, int] = {}
        self._before: dict[RecordRef, int] = {}

    def add(self, entries: Sequence[Entry]) -> None:
        """The push of these has returned."""
        now = self._now
        for entry in entries:
            if entry.version > now.get(entry.ref, 0):
                now[entry.ref] = entry.version

    def has(self, ref: RecordRef, version: int) -> bool:
        """Whether nobody is told anything older than this version any more."""
        return max(self._now.get(ref, 0), self._before.get(ref, 0)) >= version

    def turn(self) -> None:
        """Called after each round of the relay: what was pushed before the last round is forgotten."""
        self._before, self._now = self._now, {}
