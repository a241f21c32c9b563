"""How much still goes into a reply."""

from __future__ import annotations

from hive_state_core.limits import REPLY_BYTES


class Room:
    """Shared by all that one call asks for. What makes it full still goes in."""

    def __init__(self) -> None:
        self._left = REPLY_BYTES

    @property
    def full(self) -> bool:
        return self._left < 0

    def take(self, value: bytes) -> None:
        self._left -= len(value)
