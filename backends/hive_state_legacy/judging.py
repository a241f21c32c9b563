"""What becomes of an image, by what the store has in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from hive_state_core.model import EntityRef, EventImage, Image, StreamImage, StreamRef
from hive_state_core.spi import Loading, Span
from hive_state_legacy.mapping import TERM
from hive_state_legacy.source import RowImage


class Fate(Enum):
    IMPORTED = "imported"
    UNCHANGED = "unchanged"
    NEWER = "newer"  #: the store changed or deleted it since
    TAKEN = "taken"  #: its place in a history is another's


class Known(msgspec.Struct, frozen=True):
    """What the store has in the places of some images."""

    entities: dict[EntityRef, Image | None] = msgspec.field(default_factory=dict)
    events: dict[tuple[str, int], EventImage] = msgspec.field(default_factory=dict)

    def fate(self, image: RowImage) -> Fate:
        if isinstance(image, EventImage):
            return self._fate_of_event(image)
        there = self.entities.get(image.ref)
        if there is None or there.version < image.version:
            return Fate.IMPORTED
        return Fate.NEWER if there.version >= TERM else Fate.UNCHANGED

    def head(self, stream: str) -> StreamImage | None:
        found = self.entities.get(StreamRef(stream))
        return found if isinstance(found, StreamImage) else None

    def _fate_of_event(self, image: EventImage) -> Fate:
        head, there = self.head(image.stream), self.events.get((image.stream, image.seq))
        if head is not None and (head.dropped or image.seq < head.first):
            return Fate.NEWER
        if there is not None:
            return Fate.UNCHANGED if (there.body, there.at) == (image.body, image.at) else Fate.TAKEN
        return Fate.IMPORTED if head is None or head.version < TERM else Fate.TAKEN


async def known_of(port: Loading, images: Sequence[RowImage]) -> Known:
    """What the store has of these."""
    ranges: dict[str, tuple[int, int]] = {}
    refs: list[EntityRef] = []
    for image in images:
        if isinstance(image, EventImage):
            first, last = ranges.get(image.stream, (image.seq, image.seq))
            ranges[image.stream] = min(first, image.seq), max(last, image.seq)
        else:
            refs.append(image.ref)
    refs += map(StreamRef, ranges)
    found = await port.images(refs)
    events = {}
    for stream, (first, last) in ranges.items():
        for event in await _events(port, stream, first, last):
            events[stream, event.seq] = event
    return Known(dict(zip(refs, found, strict=True)), events)


def heads_of(known: Known, events: Iterable[EventImage]) -> list[StreamImage]:
    """The heads of the streams once these events are in them. A head of term 0 has its last number as
    version, so each next one is newer."""
    lasts: dict[str, int] = {}
    for event in events:
        lasts[event.stream] = max(event.seq, lasts.get(event.stream, 0))
    made = []
    for stream, last in lasts.items():
        head = known.head(stream)
        first = 1 if head is None else head.first
        made.append(StreamImage(ref=StreamRef(stream), version=last, first=first, last=last, dropped=False))
    return made


async def _events(port: Loading, stream: str, first: int, last: int) -> list[EventImage]:
    found: list[EventImage] = []
    while first <= last:
        span = Span(kind="event", after=(stream, first - 1), stop=(stream, last + 1), limit=last - first + 1)
        page = [image for image in await port.export(span) if isinstance(image, EventImage)]
        if not page:
            break
        found += page
        first = page[-1].seq + 1
    return found
