"""How long to wait before the next try."""

from __future__ import annotations

import random
from typing import Literal

import msgspec

from hive_state_core.errors import InvalidArgument


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long a failed task waits: base * factor**(attempt - 1) seconds, at most `cap`, then jittered.

    jitter  "full": anything from 0 up to that; "equal": from half of it up; "none"
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: Literal["full", "equal", "none"] = "equal"

    def __post_init__(self) -> None:
        if not (0 <= self.base <= self.cap and self.factor >= 1):
            raise InvalidArgument("a Backoff needs 0 <= base <= cap and factor >= 1")
        if self.jitter not in ("full", "equal", "none"):
            raise InvalidArgument("the jitter of a Backoff is 'full', 'equal' or 'none'")

    def longest(self, attempt: int) -> float:
        """Seconds after that attempt (the first is 1), without jitter."""
        try:
            return min(self.cap, self.base * self.factor ** max(attempt - 1, 0))
        except OverflowError:
            return self.cap if self.base else 0.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after that attempt."""
        longest = self.longest(attempt)
        if self.jitter == "none":
            return longest
        return random.uniform(longest / 2 if self.jitter == "equal" else 0, longest)


DEFAULT_BACKOFF = Backoff()
TROUBLE = Backoff(base=0.05, cap=5.0)
"""While a store is not available."""

SHORTEST_NAP = 0.001
"""Seconds between two looks that found nothing, at least; doubled as long as hints prove wrong."""
