"""The waiting between two looks at the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, TypeVar

from hive_state_core import validate
from hive_state_core.backoff import SHORTEST_NAP, TROUBLE
from hive_state_core.errors import HiveStateError, Indeterminate
from hive_state_core.model import Topic
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration

Answer = TypeVar("Answer")

log: logging.Logger = logging.getLogger("hive_state")

HOPS = 5
"""Turns of the event loop until a task that was just made has asked the driver for news, at most."""


class Watch:
    """The waiting between two looks at something, at most for `poll`, cut short by hints.

    The first wait only begins to listen: what came between the last look and the listening was not
    heard, so look once more. Wrong hints make no busy loop. Once `stopped` is done, nothing is waited for.
    """

    def __init__(
        self, trips: Trips, topic: Topic, poll: Duration, stopped: asyncio.Future[Any] | None = None
    ) -> None:
        self._trips = trips
        self._topics = frozenset({topic})
        self._poll_ms = validate.duration(poll, "poll")
        self._poll = self._poll_ms / 1000
        self._stopped = stopped
        self._hint: asyncio.Task[None] | None = None
        self._vain = 0
        self._troubles = 0

    async def wait(self, next_due_in: int | None = None) -> None:
        """After a look that found nothing. `next_due_in`: there may be something after so long."""
        if self._hint is None:
            await self._listen()
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = inf if next_due_in is None else next_due_in / 1000 + 0.002  # timers may ring a little early
        nap = min(SHORTEST_NAP * 2**self._vain, self._poll / 10)
        await self._rest(max(min(due, self._poll), nap), self._hint)
        spent = loop.time() - began
        if spent < nap:
            await self._rest(nap - spent)
        self._vain = 0 if spent >= self._poll else min(self._vain + 1, 20)
        if self._hint.done():
            await self._listen()

    async def _rest(self, seconds: float, *news: asyncio.Future[Any]) -> None:
        """For so long, or until there is news, or it is stopped."""
        ends = news if self._stopped is None else (*news, self._stopped)
        if ends:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)

    async def _listen(self) -> None:
        """Begin to, before the look that follows: what came between the two would be found by neither."""
        self._hint = asyncio.create_task(self._hear())
        for _ in range(HOPS):
            await asyncio.sleep(0)

    async def look(self, what: str, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The answer; None if the store was not available: that was waited out. Raises what waiting does
        not mend."""
        try:
            answer = await call()
        except HiveStateError as error:
            if not error.retryable and not isinstance(error, Indeterminate):
                raise
            self._troubles += 1
            if self._troubles == 1:
                log.warning("%s is not available for now: %s", what, error)
            await self._rest(TROUBLE.delay(self._troubles))
            return None
        self._troubles = 0
        return answer

    def found(self) -> None:
        """The last look found something."""
        self._vain = 0

    async def close(self) -> None:
        if self._hint is not None:
            self._hint.cancel()
            await asyncio.wait({self._hint})

    async def _hear(self) -> None:
        """Ends when something may have come, or after `poll`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._poll
        try:
            heard = await self._trips.wait(self._topics, self._poll_ms)
        except HiveStateError:  # if it matters, the next look says so
            heard = frozenset()
        if not heard:
            await asyncio.sleep(until - loop.time())
