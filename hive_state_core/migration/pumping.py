"""What is marked in one store is sent to the other: the image as it is now, loaded there if it is newer.

Any number of pumps may run at once: order does not matter, and repeating does no harm. Each image is read
back after it was loaded, and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_core.errors import Conflict, HiveStateError, Indeterminate, Unavailable
from hive_state_core.images import digest_of, key_of
from hive_state_core.migration.failpoints import reached
from hive_state_core.model import EntityRef, EventImage, GroupImage, Image, StreamImage
from hive_state_core.spi import PEER, Control, Mark, Replication, Span

PAGE = 500
"""Marks in a round."""

PASSING = (Unavailable, Indeterminate, Conflict)
"""What says nothing of the images: they are sent once more, by this pump or another."""

MOST = 1000
"""Entities that are put aside, or found wrong, before a pump gives up."""


class Pump:
    """From one store into the other.

    expect  the control row of the other one, as it was before anything was read here. Once it is another
            one, Conflict is raised: who slept through the end of a migration brings nothing into the next
    poison  what the other store would not take, and why; its marks stay
    wrong   what was read back otherwise than it was sent; its marks stay too
    """

    def __init__(self, source: Replication, target: Replication, expect: Control) -> None:
        self._source = source
        self._target = target
        self._expect = expect
        self.poison: dict[EntityRef, str] = {}
        self.wrong: dict[EntityRef, str] = {}

    @property
    def stuck(self) -> int:
        """Entities whose marks stay."""
        return len(self.poison) + len(self.wrong)

    async def round(self, page: int = PAGE) -> int:
        """Send the oldest marks; how many that were. 0: there are none, but for what is stuck."""
        marks = await self.waiting(page)
        if not marks:
            return 0
        images = await self._source.images([mark.ref for mark in marks])
        await reached("pump: images read")
        pairs = [(mark, image) for mark, image in zip(marks, images, strict=True) if image is not None]
        try:
            await self._send([image for _, image in pairs])
        except PASSING:
            raise
        except HiveStateError:
            for mark, image in pairs:
                await self._send_alone(mark.ref, image)
        await reached("pump: loaded")
        await self._read_back(pairs)
        sent = [replace(mark, version=image.version) for mark, image in pairs if not self._is_stuck(mark.ref)]
        await self._source.clear(PEER, sent)
        await reached("pump: cleared")
        return len(marks)

    async def waiting(self, limit: int) -> list[Mark]:
        """The oldest marks, without those that are stuck."""
        marks = await self._source.marks(PEER, limit + self.stuck)
        return [mark for mark in marks if not self._is_stuck(mark.ref)] if self.stuck else list(marks)

    def _is_stuck(self, ref: EntityRef) -> bool:
        return ref in self.poison or ref in self.wrong

    # --- sending

    async def _send(self, images: Sequence[Image]) -> None:
        for image in images:
            if isinstance(image, StreamImage):
                await self._send_events(image)
        await self._target.load(images, expect=self._expect)

    async def _send_alone(self, ref: EntityRef, image: Image) -> None:
        """One that spoils a round must not keep back the others."""
        try:
            await self._send([image])
        except PASSING:
            raise
        except HiveStateError as error:
            self.poison[ref] = str(error)
            if self.stuck > MOST:
                raise

    async def _send_events(self, stream: StreamImage) -> None:
        """Those that are not there yet."""
        name = stream.ref.stream
        (there,) = await self._target.images([stream.ref])
        last = there.last if isinstance(there, StreamImage) else await self._copied(stream)
        span = Span(kind="event", after=(name, last), stop=(name, stream.last + 1), limit=PAGE)
        while events := await self._source.export(span):
            await self._target.load(events, expect=self._expect)
            await self._read_back_events(stream, span, events)
            span = replace(span, after=key_of(events[-1]))

    async def _copied(self, stream: StreamImage) -> int:
        """The last event that the copy has brought of a stream that it has not finished: found by halving."""
        name, low, high = stream.ref.stream, 0, stream.last
        while low < high:
            middle = (low + high) // 2
            above = Span(kind="event", after=(name, middle), stop=(name, stream.last + 1), limit=1)
            if await self._target.export(above):
                low = middle + 1
            else:
                high = middle
        return low

    # --- reading back

    async def _read_back(self, pairs: Sequence[tuple[Mark, Image]]) -> None:
        pairs = [(mark, image) for mark, image in pairs if mark.ref not in self.poison]
        there = await self._target.images([mark.ref for mark, _ in pairs])
        for (mark, image), found in zip(pairs, there, strict=True):
            if found is None or found.version < image.version:
                self.wrong[mark.ref] = "it was loaded, and is not there"
            elif found.version == image.version and not same(found, image):
                self.wrong[mark.ref] = "it was loaded, and is there otherwise"

    async def _read_back_events(self, stream: StreamImage, span: Span, events: Sequence[Image]) -> None:
        last = cast(EventImage, events[-1])
        there = await self._target.digest(replace(span, stop=(last.stream, last.seq + 1)))
        if there != digest_of(events) and not await self._is_overtaken(stream):
            self.wrong[stream.ref] = "its events were loaded, and are there otherwise"

    async def _is_overtaken(self, stream: StreamImage) -> bool:
        """Whether another pump has sent a later state of the stream, in which some are trimmed."""
        (there,) = await self._target.images([stream.ref])
        return there is not None and there.version > stream.version


def same(one: Image, other: Image) -> bool:
    """Whether two images of one version are equal. The counts of a group are those of its deliveries, which
    travel on their own."""
    if isinstance(one, GroupImage) and isinstance(other, GroupImage):
        return replace(one, pending=0, dead=0) == replace(other, pending=0, dead=0)
    return one == other
