"""The control row of an open store, as a process remembers it from its own last trip."""

from __future__ import annotations

import time
from typing import NamedTuple

from hive_state_core.spi import TERM_SHIFT


class Known(NamedTuple):
    """`counter`, `orders` and `clock` are those of the last trip."""

    term: int
    epoch: int
    counter: int
    orders: int
    clock: int

    @property
    def version(self) -> int:
        """Of the last trip."""
        return (self.term << TERM_SHIFT) + self.counter

    def next(self, orders: int) -> Known:
        """As a trip leaves it that begins now, and may give out so many orders."""
        term, epoch, counter, given, clock = self
        return Known(term, epoch, counter + 1, given + orders, max(time.time_ns() // 1_000_000, clock))

    def advance(self, ns: int, after: Known) -> tuple[int, ...]:
        """The arguments of `control_advance`."""
        return ns, after.counter, after.orders, after.clock, self.epoch, self.orders, self.clock
