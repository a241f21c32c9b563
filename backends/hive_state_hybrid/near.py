"""Records in the memory of the process: at hand for a moment, and known for longer.

    use     until then `peek` tells it: counted from before it was asked for, so it is no older than that
    guard   until then it keeps out what is older: counted from when it came, so what was asked for before,
    and comes later, finds it still there, or is too old itself

Nothing that still guards is thrown away to make room: what does not fit is not kept, and what was asked for
before that moment is not kept any more either.
"""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

import msgspec

from hive_state_core.model import RecordImage, RecordRef


class _Kept(msgspec.Struct, frozen=True, gc=False):
    version: int
    image: RecordImage | None
    use: float
    guard: float


class Near:
    """At most `size` records, each at hand for `ttl` seconds; 0: none is, they are only known."""

    def __init__(self, size: int, ttl: float) -> None:
        self._size = size
        self._ttl = ttl
        self._kept = OrderedDict[RecordRef, _Kept]()  # a dict takes long to find its oldest item
        self._closed = 0.0
        self.hits: int = 0

    def peek(self, ref: RecordRef) -> RecordImage | None:
        """A record that is at hand; None: none, or it is absent."""
        kept = self._kept.get(ref)
        if kept is None or kept.use <= monotonic() or kept.image is None:
            return None
        self.hits += 1
        return kept.image

    def known(self, ref: RecordRef, version: int) -> RecordImage | None:
        """The image of just this version, if it is here; not whether it is the latest."""
        kept = self._kept.get(ref)
        return kept.image if kept is not None and kept.version == version else None

    def keep(self, image: RecordImage, asked: float, left: int | None) -> None:
        """What was asked for at `asked` (of the monotonic clock), and expires so many milliseconds later."""
        now = monotonic()
        kept = self._kept.get(image.ref)
        if asked < self._closed or (kept is not None and kept.version > image.version and kept.guard > now):
            return
        there = image if image.value is not None else None
        self._insert(image.ref, _Kept(image.version, there, self.until(asked, left), now + self._ttl), now)

    def until(self, asked: float, left: int | None) -> float:
        """Until when what was asked for at `asked` may be told; it expires `left` milliseconds after that."""
        return asked + (self._ttl if left is None else min(self._ttl, left / 1000))

    def wrote(self, ref: RecordRef, version: int, image: RecordImage | None = None, use: float = 0.0) -> None:
        """The record has this version now, as far as this process knows; nothing older is kept any more.
        `use`: until then the image may be told."""
        now = monotonic()
        self._insert(ref, _Kept(version, image, use, now + self._ttl), now)

    def _insert(self, ref: RecordRef, kept: _Kept, now: float) -> None:
        all_kept = self._kept
        all_kept.pop(ref, None)
        if len(all_kept) >= self._size:
            oldest = next(iter(all_kept), None)
            if oldest is None or all_kept[oldest].guard > now:
                self._closed = now
                return
            del all_kept[oldest]
        all_kept[ref] = kept
