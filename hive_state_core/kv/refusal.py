"""How an operation says no."""

from __future__ import annotations

from hive_state_core.model import Ref
from hive_state_core.spi import Reason, Refused


class Refusal(Exception):
    """An operation does not allow its batch. `refused.index` is still open."""

    def __init__(self, reason: Reason, ref: Ref, expected: int = 0, actual: int = 0, seq: int = 0) -> None:
        self.refused: Refused = Refused(reason, ref, 0, False, expected, actual, seq)
