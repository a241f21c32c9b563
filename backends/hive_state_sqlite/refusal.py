"""Leaving a batch that is being decided."""

from __future__ import annotations

from hive_state_core.model import Ref
from hive_state_core.spi import Reason, Refused


class Refusal(Exception):
    """Raised by whatever finds that the batch does not hold."""

    def __init__(self, reason: Reason, ref: Ref, expected: int = 0, actual: int = 0, seq: int = 0) -> None:
        super().__init__(reason)
        self._parts = (reason, ref, expected, actual, seq)

    def outcome(self, index: int, in_check: bool) -> Refused:
        """`index`: the place of the check or operation."""
        reason, ref, expected, actual, seq = self._parts
        return Refused(reason, ref, index, in_check, expected, actual, seq)
