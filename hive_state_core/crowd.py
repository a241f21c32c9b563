"""How many trips of a store may be under way at once, and how its callers part between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hive_state_core.limits import TRIP_BATCHES

FEW = 16
"""Calls that do not leave beside another trip of their lane: each trip has a price of its own."""


class Crowd:
    """The callers of all lanes of a store.

    A lane's first trip leaves whatever the other lanes do. One more leaves beside it only if fewer than
    `most` are under way in all lanes; and no trip takes more than an even share of all callers. So they stay
    in equal parts: some are at work here while the trip of the others is at the server.

    most      may change at any time; a trip that is under way then comes to its end
    ahead_of  the crowd that is to leave turns of the event loop to this one, whose server answers so soon
              that its callers wait for little else
    """

    def __init__(self, most: int = 1, ahead_of: Crowd | None = None) -> None:
        self.most = most
        self.runners: int = 0
        self._counts: list[Callable[[], int]] = []
        self._ahead: list[Crowd] = []
        if ahead_of is not None:
            ahead_of._ahead.append(self)

    def join(self, count: Callable[[], int]) -> None:
        """A lane, by what tells how many of its calls wait or are under way."""
        self._counts.append(count)

    def has_room(self) -> bool:
        return self.runners < self.most

    def is_crowded(self) -> bool:
        return self.runners > self.most

    def is_in_the_way(self) -> bool:
        """Whether somebody waits to whom turns of the event loop are to be left."""
        return any(crowd.calls() for crowd in self._ahead)

    def calls(self) -> int:
        """Of all its lanes: that wait or are under way."""
        return sum([count() for count in self._counts])

    async def give_way(self) -> None:
        """A runner whose trip is back waits for a turn of the event loop, and counts for nothing meanwhile.
        Who was just answered may leave in another lane, beside what is under way there."""
        self.runners -= 1
        try:
            await asyncio.sleep(0)
        finally:
            self.runners += 1

    def share(self) -> int:
        """Calls that a trip takes, at most."""
        if self.most == 1:
            return TRIP_BATCHES
        return max(FEW, -(-self.calls() // self.most))
