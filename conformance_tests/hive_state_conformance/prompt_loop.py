"""An event loop on which nobody waits: its clock goes on to the next timer once nothing else is to be done.

For tests of what lives by the loop alone: a lease of 30 ms is held for 30 ms of its clock, however busy the
machine is, and a test of ten seconds takes none. Not for what has threads, files or servers to wait for:
whatever they do takes no time here, so a timeout is over before they have answered.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

TURN = 0.000_05
"""Seconds that one turn of the loop takes, so that time goes by for those who wait for it in a busy loop."""

BEGINNING = 1000.0


class PromptLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = BEGINNING
        super().__init__(_PromptSelector(self._pass))

    def time(self) -> float:
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


class _PromptSelector(selectors.DefaultSelector):
    """Passes the time that the loop would wait, unless there is something to do at once."""

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        super().__init__()
        self._pass = pass_time

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(timeout if timeout is None else 0)
        self._pass(TURN if ready or not timeout else timeout)
        return ready


def instant() -> int:
    """For the clock of a store: milliseconds of the loop that runs, since an instant of the year 2001."""
    return 1_000_000_000_000 + int(asyncio.get_running_loop().time() * 1000)
