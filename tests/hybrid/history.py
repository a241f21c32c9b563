"""What processes were told of records, one after the other, and whether any of it was too old."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf
from typing import NamedTuple

from hive_state_core.features import Consistency


class Told(NamedTuple):
    """One call and its answer. Instants are of a clock that all processes share, in seconds.

    kind     read, write or delete
    ended    infinite: there was no answer, so it may have been done at any time, or never
    version  of what was read or written; 0: there is no record, or it is not known
    """

    process: str
    kind: str
    key: str
    begun: float
    ended: float
    version: int


def too_old(history: Sequence[Told], level: Consistency, bound: float) -> list[str]:
    """Reads that returned less than the level allows, each as a sentence. `bound`: in seconds."""
    by_key: defaultdict[str, list[Told]] = defaultdict(list)
    for told in history:
        by_key[told.key].append(told)
    return [found for calls in by_key.values() for found in _of_one_key(calls, level, bound)]


def _of_one_key(calls: Sequence[Told], level: Consistency, bound: float) -> Iterable[str]:
    everybody = _Known(calls)
    own = {
        name: _Known([call for call in calls if call.process == name]) for name in {c.process for c in calls}
    }
    deletes = [call for call in calls if call.kind == "delete"]
    slack = {Consistency.LINEARIZABLE: 0.0, Consistency.BOUNDED: bound, Consistency.SESSION: inf}[level]
    for read in calls:
        if read.kind != "read":
            continue
        least = max(everybody.at(read.begun - slack), own[read.process].at(read.begun))
        if read.version < least and not (read.version == 0 and _may_be_gone(deletes, read, least)):
            yield f"{read} was to return version {least} or a later one"


def _may_be_gone(deletes: Iterable[Told], read: Told, least: int) -> bool:
    """Whether a delete of that version, or a later one, may be what was read."""
    begun = [delete for delete in deletes if delete.begun < read.ended]
    return any(delete.ended == inf or delete.version >= least for delete in begun)


class _Known:
    """The latest version that was told to anybody before an instant."""

    def __init__(self, calls: Iterable[Told]) -> None:
        ended = sorted((call.ended, call.version) for call in calls if call.ended < inf)
        self._instants = [instant for instant, _ in ended]
        self._latest = list(accumulate((version for _, version in ended), max))

    def at(self, instant: float) -> int:
        place = bisect_left(self._instants, instant)
        return self._latest[place - 1] if place else 0
