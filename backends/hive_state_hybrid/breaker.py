"""Calls to a cache that may be slow or gone: none takes long, and few are made in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from hive_state_core.errors import HiveStateError, Unavailable

Answer = TypeVar("Answer")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Breaker:
    """After a failure calls are refused at once, for a pause that grows; then one is tried, and the others
    follow if it succeeds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._pause = 0.0
        self._again = 0.0
        self._trying = False
        self.error: HiveStateError | None = None

    @property
    def refuses(self) -> bool:
        """Whether a call would be refused now."""
        return self.error is not None and (self._trying or monotonic() < self._again)

    async def call(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Raises HiveStateError."""
        if self.refuses:
            raise Unavailable(f"the cache was not reached a moment ago: {self.error}")
        self._trying = self.error is not None
        try:
            async with asyncio.timeout(self._timeout):
                answer = await ask()
        except HiveStateError as error:
            self._failed(error)
            raise
        except TimeoutError as error:
            failure = Unavailable(f"the cache did not answer within {self._timeout:g} s")
            self._failed(failure)
            raise failure from error
        finally:
            self._trying = False
        self.error, self._pause = None, 0.0
        return answer

    def _failed(self, error: HiveStateError) -> None:
        self.error = error
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        self._again = monotonic() + self._pause
