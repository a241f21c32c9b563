"""What was copied, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from hive_state_core.images import Key
from hive_state_core.spi import KINDS, Kind

Difference = Literal["different", "missing", "extra"]

MOST = 10_000
"""Differences that are told apart by their keys; a comparison that finds more ends there."""

SHOWN = 20


class TooDifferent(Exception):
    """There is no sense in comparing on."""


class KindReport(msgspec.Struct, kw_only=True):
    """Counts of one kind. `verified`: equal in both stores; `reread`: equal as a reader sees it (nobody reads
    tombstones, deliveries and commit memories); `missing`: in the source only; `extra`: in the target only.
    """

    copied: int = 0
    verified: int = 0
    reread: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0


class Report:
    """Of one migration, while it runs and at its end."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, KindReport] = {kind: KindReport() for kind in KINDS}
        self.seconds: dict[str, float] = {}
        """By phase: copy, verify, reread."""
        self.before = 0
        """How many of `copied` a run before this one has copied."""
        self._found: dict[tuple[Kind, Key], Difference] = {}

    @property
    def copied(self) -> int:
        return sum(kind.copied for kind in self.kinds.values())

    @property
    def rows_per_s(self) -> float:
        """How fast this run copied; 0 if it copied nothing."""
        rows = self.copied - self.before
        return rows / self.seconds["copy"] if rows else 0.0

    @property
    def clean(self) -> bool:
        return not self._found

    def found(self, kind: Kind, key: Key, difference: Difference) -> None:
        """Count a difference, once for each key. Raises TooDifferent."""
        if (kind, key) in self._found:
            return
        self._found[kind, key] = difference
        counts = self.kinds[kind]
        setattr(counts, difference, getattr(counts, difference) + 1)
        if len(self._found) >= MOST:
            raise TooDifferent

    def first(self) -> Iterator[str]:
        """Some of the differences in words."""
        for (kind, key), difference in list(self._found.items())[:SHOWN]:
            yield f"{kind} {' / '.join(map(str, key))}: {difference}"
