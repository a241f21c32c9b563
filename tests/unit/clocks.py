"""The clock of a Store in memory, moved by a test."""

from __future__ import annotations

from typing import Any, cast

from hive_state_core import Store


class Clock:
    """The store's clock, ahead of the host's by what a test says."""

    def __init__(self, hive: Store) -> None:
        self.ahead = 0
        memory = cast(Any, hive._driver)._memory
        clock = memory.clock
        memory.clock = lambda: clock() + self.ahead
