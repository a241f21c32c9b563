"""How much of the time the work of a migration takes beside a hive that works on: after each piece of it
comes a rest, longer than that took. So it takes less where the machine is busy, or the other store slow.
"""

from __future__ import annotations

import asyncio
from time import monotonic

RESTS = 2.0
"""Times as long as it worked."""

LONGEST = 1.0
"""Seconds of a rest, at most."""

HASTE = 16.0
"""By what a rest is divided at most, if the work falls behind."""

FAR_MS = 10_000
"""Who is so far behind makes haste until that is less, as after a long copy: well before a trigger fires."""

GATHER = 1.0
"""Seconds for which changes are left to gather, at most."""


class Rhythm:
    """Of one work. A piece of it begins now, with `begin`, and after each rest."""

    def __init__(self) -> None:
        self._haste = 1.0
        self._behind = 0.0
        self.begin()

    def begin(self) -> None:
        self._began = monotonic()

    async def rest(self, least: float = 0.0) -> None:
        """After a piece, for so many seconds at least."""
        await asyncio.sleep(max(least, self.due(monotonic() - self._began)))
        self.begin()

    def due(self, worked: float) -> float:
        """Seconds of rest after so many of work."""
        return min(RESTS * worked / self._haste, LONGEST)

    def hasten(self, behind_ms: float) -> None:
        """How far the work is behind. If that is far, or more than when it was told last, rests become
        shorter, else longer again."""
        grows = behind_ms > min(self._behind, FAR_MS)
        self._haste = min(self._haste * 2, HASTE) if grows else max(self._haste / 2, 1.0)
        self._behind = behind_ms


class Gathering:
    """Once all changes were sent they are left to gather for a while, the shorter the fewer there were: what
    is written again and again meanwhile is sent once.

    page  so many changes, sent since the last time, are many
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self._sent = 0

    def after(self, sent: int) -> float:
        """Seconds of rest after a round that sent so many. A full page: there are more."""
        self._sent += sent
        if sent >= self._page:
            return 0.0
        gathered, self._sent = self._sent, 0
        return GATHER * min(gathered / self._page, 1.0)
