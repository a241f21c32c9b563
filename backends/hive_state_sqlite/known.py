"""The control row of an open store, as a process remembers it from its own last trip."""

from __future__ import annotations

import time
from typing import NamedTuple

from hive_state_core.spi import TERM_SHIFT


class Known(NamedTuple):
    """`counter`, `orders` and `clock` are those of the last trip. `end`: a stream, and the seq of its last
    event, which holds as long as the rest does."""

    term: int
    epoch: int
    counter: int
    orders: int
    clock: int
    end: tuple[str, int] | None = None

    @property
    def version(self) -> int:
        """Of the last trip."""
        return (self.term << TERM_SHIFT) + self.counter

    def next(self, orders: int, end: tuple[str, int] | None = None) -> Known:
        """As a trip leaves it that begins now, and may give out so many orders. `end` is that then."""
        term, epoch, counter, given, clock, _ = self
        return Known(term, epoch, counter + 1, given + orders, max(time.time_ns() // 1_000_000, clock), end)

    def advance(self, ns: int, after: Known) -> tuple[int, ...]:
        """The arguments of `control_advance`."""
        return ns, after.counter, after.orders, after.clock, self.epoch, self.orders, self.clock
