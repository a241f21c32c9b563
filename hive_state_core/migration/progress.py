"""How far a copy or a comparison is, and for how long it takes still.

Who does it says so now and then in a note in the target. Before the switch that costs the hive nothing, and
it is dropped with the copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Literal

import msgspec

from hive_state_core.migration.presence import GONE_MS, instant
from hive_state_core.spi import Driver, Kind, Replication

PROGRESS = "migration/progress"

EVERY = 2.0
"""Seconds between two notes, at least."""

RECENT = 60.0
"""Seconds over which the rate is measured, at most."""

Doing = Literal["copying", "comparing"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """rows  that were done by then
    rate  rows a second, of late
    at    instant of the target at which that was so
    """

    doing: Doing
    rows: int
    rate: float
    at: int

    def left_s(self, total: int, now: int) -> float | None:
        """Seconds from the instant `now` until all is done, about. None: that is not known, as nothing goes
        on, or there is more than was counted."""
        if self.rate <= 0 or self.rows >= total:
            return None
        return max((total - self.rows) / self.rate - (now - self.at) / 1000, 0.0)


class Recorder:
    """Of one copy or comparison, which begins now. `counts`: rows that were done before, by kind."""

    def __init__(
        self, driver: Driver, port: Replication, doing: Doing, counts: Mapping[Kind, int] | None = None
    ) -> None:
        self._driver = driver
        self._port = port
        self._doing: Doing = doing
        self._counts: dict[str, int] = {str(kind): rows for kind, rows in (counts or {}).items()}
        self._told = monotonic()
        self._noted = False
        self._points: deque[tuple[float, int]] = deque([(self._told, self._rows)])

    @property
    def _rows(self) -> int:
        return sum(self._counts.values())

    def count(self, kind: str, rows: int) -> None:
        """So many of this kind are done."""
        self._counts[kind] = rows

    async def tell(self) -> None:
        """Note it, unless that was done just now."""
        now = monotonic()
        if now - self._told < EVERY:
            return
        self._told, self._noted = now, True
        rows, rate = self._rows, self.rate(now)
        at = await instant(self._driver)
        progress = Progress(doing=self._doing, rows=rows, rate=rate, at=at)
        await self._port.note({PROGRESS: msgspec.json.encode(progress)})

    def rate(self, now: float) -> float:
        """Rows a second since a minute ago, or since it began."""
        self._points.append((now, self._rows))
        while now - self._points[0][0] > RECENT and len(self._points) > 2:
            self._points.popleft()
        began, before = self._points[0]
        return (self._rows - before) / max(now - began, 0.001)

    async def end(self) -> None:
        """It is done, and nothing to be told of any more."""
        if self._noted:
            await self._port.note({PROGRESS: None})


async def read_progress(port: Replication, now: int) -> Progress | None:
    """Of the target, at this instant of it. None: nobody copies or compares, or has said so for a while."""
    data = (await port.notes()).get(PROGRESS)
    found = None if data is None else msgspec.json.decode(data, type=Progress)
    return None if found is None or now - found.at > GONE_MS else found
