"""Records in the memory of the process: at hand for a moment, and known for longer.

A record is at hand for so long after an instant at which it is known to have been the latest:

- what the durable store told, and what this process wrote: when it was asked;
- what the cache told: when the beat began under which it did; where nothing depends on beats, when it was
  asked.

The newest version that was told stays known, and keeps out what is older, but was asked for before that came.
A record that is gone may be there again: what was the latest at an instant before that was heard is not told,
though its version is known from then on.
What came first goes first, to make room. What was asked for before that came is then not told from here: it
may be older than what has gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from time import monotonic

import msgspec

from hive_state_core.model import RecordImage, RecordRef


class _Kept(msgspec.Struct, gc=False):
    """`image`: at hand until `use`, None: only the version is known, 0 if not even that. `came`: when it was
    heard of. `read`: it was, from here; or nobody need hear of it. `gone`: when it was heard last that there
    was no such record."""

    version: int
    image: RecordImage | None
    use: float
    came: float
    read: bool = False
    gone: float = -inf


class Near:
    """At most `size` records, each at hand for `span` seconds; 0: none is, they are only known."""

    def __init__(self, size: int, span: float) -> None:
        self._size = size
        self._span = span
        self._kept = OrderedDict[RecordRef, _Kept]()  # a dict takes long to find its oldest item
        self._closed = -inf  # when the newest came of those that have gone
        self.hits: int = 0
        self.reading: Callable[[RecordRef, float], object] = _nobody
        """Called at the first read of a record that is at hand, with the end of that."""

    def peek(self, ref: RecordRef) -> RecordImage | None:
        """A record that is at hand; None: none, or it is absent."""
        kept = self._kept.get(ref)
        if kept is None or kept.use <= monotonic() or kept.image is None:
            return None
        self.hits += 1
        if not kept.read:
            kept.read = True
            self.reading(ref, kept.use)
        return kept.image

    def ends(self, ref: RecordRef) -> float:
        """Until when it is at hand, of the monotonic clock; some earlier instant if it is not."""
        kept = self._kept.get(ref)
        return -inf if kept is None else kept.use

    def known(self, ref: RecordRef, version: int) -> RecordImage | None:
        """The image of just this version, if it is here; not whether it is the latest."""
        kept = self._kept.get(ref)
        return kept.image if kept is not None and kept.version == version else None

    def keep(self, image: RecordImage, asked: float, latest: float, left: int | None) -> None:
        """What was asked for at `asked`, was the latest at `latest` (both of the monotonic clock), and
        expires `left` milliseconds after it was asked for."""
        use = self.until(latest, asked, left)
        there = image if image.value is not None and asked > self._closed else None
        expires = use < latest + self._span
        self._insert(image.ref, _Kept(image.version, there, use, monotonic(), read=expires), latest)

    def until(self, latest: float, asked: float, left: int | None) -> float:
        """Until when `keep` has it at hand."""
        use = latest + self._span
        return use if left is None else min(use, asked + left / 1000)

    def wrote(self, ref: RecordRef, version: int, asked: float = -inf) -> None:
        """The record has had this version since `asked`; what it is now is not known."""
        self._insert(ref, _Kept(version, None, 0.0, monotonic()), asked)

    def gone(self, ref: RecordRef) -> None:
        """There was no such record when the durable store was asked."""
        before, now = self._kept.get(ref), monotonic()
        self._put(ref, _Kept(before.version if before else 0, None, 0.0, now, gone=now))

    def _insert(self, ref: RecordRef, kept: _Kept, latest: float) -> None:
        before = self._kept.get(ref)
        if before is not None:
            if _outdone(kept, before):
                return
            if latest <= before.gone:
                kept.image, kept.use, kept.gone = None, 0.0, before.gone
        self._put(ref, kept)

    def _put(self, ref: RecordRef, kept: _Kept) -> None:
        all_kept = self._kept
        if all_kept.pop(ref, None) is None and len(all_kept) >= self._size:
            if not self._size:
                return
            _, oldest = all_kept.popitem(last=False)
            self._closed = oldest.came
        all_kept[ref] = kept


def _nobody(_ref: RecordRef, _ends: float) -> None:
    pass


def _outdone(kept: _Kept, before: _Kept) -> bool:
    """Whether what is near already is newer, or the same and at hand for as long."""
    return kept.version < before.version or (kept.version == before.version and kept.use <= before.use)
