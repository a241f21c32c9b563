"""Two stores compared while the hive works: what differs is looked at again until it is clear why.

A page of the source is compared with the same stretch of the target by digests, and by rows where those
differ; then a reader's view of both, which shares nothing with the copy. What differs may only be late. So
what is marked up to that version is sent first; what differs still, and was not written meanwhile, is one of
these:

    lost     older in the target, or not there, and nothing is marked: sent once more
    corrupt  of the same version, with another content
    ahead    newer in the target
    ghost    in the target alone
    poison   the target would not take it
    lag      written again and again while it was looked at: nothing is known, and nothing wrong
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from enum import Enum
from typing import cast

import msgspec
from msgspec.structs import replace

from hive_state_core.apart import apart_of
from hive_state_core.features import Facility
from hive_state_core.images import Key, digest_of, key_of, kind_of
from hive_state_core.migration.live import Live
from hive_state_core.migration.pacing import Rhythm
from hive_state_core.migration.phases import Situation
from hive_state_core.migration.progress import Recorder
from hive_state_core.migration.pumping import Pump
from hive_state_core.migration.verifying import pages
from hive_state_core.model import EntityRef, Gone, Image, ReadRef, StreamImage, StreamRef
from hive_state_core.naming import name_of, ref_of
from hive_state_core.spi import KINDS, Driver, Kind, Replication, Scan, Span

PAGE = 1000

TRIES = 5
"""Looks at what is written again and again."""

MOST = 1000
"""Differences after which a comparison ends."""

Tell = Callable[[Kind, int], None]


class Why(Enum):
    LOST = "lost"
    CORRUPT = "corrupt"
    AHEAD = "ahead"
    GHOST = "ghost"
    POISON = "poison"
    LAG = "lag"


SOFT = frozenset({Why.LAG, Why.LOST})
"""They do not stand in the way: what was lost was sent once more, and found to be there."""


class Checked(msgspec.Struct, kw_only=True):
    """compared  images of each kind; `reread` of them as a reader sees them
    found     what differs in the end, in words, and why
    repaired  images that were lost, and are not any more
    """

    compared: dict[Kind, int] = {}
    reread: int = 0
    found: dict[str, Why] = {}
    repaired: int = 0

    @property
    def clean(self) -> bool:
        return all(why in SOFT for why in self.found.values())

    @property
    def wrong(self) -> dict[str, str]:
        return {what: why.value for what, why in self.found.items() if why not in SOFT}


class Check:
    """Of a migration, as it was seen before: from the store in which the hive lives to the other one.

    waived  entities, in words, that are not looked at
    """

    def __init__(self, live: Live, seen: Situation, tell: Tell, waived: frozenset[str] = frozenset()) -> None:
        back = seen.back
        self.source: Replication = live.target if back else live.source
        self.target: Replication = live.source if back else live.target
        self._ours, self._theirs = live.drivers[::-1] if back else live.drivers
        self._expect = seen.source if back else seen.target
        self._pump = Pump(self.source, self.target, self._expect)
        self._apart = apart_of(*live.drivers)
        self._tell = tell
        self._recorder = Recorder(live.drivers[1], live.target, "comparing")
        self._waived = waived
        self.checked: Checked = Checked()

    async def run(self) -> Checked:
        """Everything, once by the port and once as a reader sees it."""
        rhythm = Rhythm()
        if await self._compare(rhythm):
            await self._reread(rhythm)
        await self._recorder.end()
        return self.checked

    async def _compare(self, rhythm: Rhythm) -> bool:
        """By the port; False: so much differs that it is not gone on with."""
        for kind in KINDS:
            async for images, span in pages(self.source, kind):
                if await self.target.digest(span) == digest_of(images):
                    await rhythm.rest()
                else:  # where the hive is at work it has to be overtaken
                    await self._settle(kind, await self._differing(images, span))
                    rhythm.begin()
                self._count(kind, len(images))
                await self._recorder.tell()
                if len(self.checked.found) > MOST:
                    return False
        return True

    async def some(self, refs: Iterable[EntityRef]) -> Checked:
        """These alone, by the port."""
        names = defaultdict[Kind, set[Key]](set)
        for ref in refs:
            names[name_of(ref).kind].add(name_of(ref).key)
        for kind, keys in names.items():
            await self._settle(kind, keys)
            self._count(kind, len(keys))
        return self.checked

    def _count(self, kind: Kind, more: int) -> None:
        compared = self.checked.compared
        compared[kind] = compared.get(kind, 0) + more
        self._recorder.count(kind, compared[kind])
        self._tell(kind, compared[kind])

    async def _differing(self, images: Sequence[Image], span: Span) -> set[Key]:
        wanted = {key_of(image): image for image in images}
        found = {key_of(image): image for image in await _all(self.target, span)}
        return {key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)}

    # --- as a reader sees it

    async def _reread(self, rhythm: Rhythm) -> None:
        for query in await self._queries():
            async for found in _scan(self._ours, query):
                images = [image for image in found if not self._apart.has(image.ref)]  # type: ignore[union-attr]
                refs = cast(Sequence[ReadRef], [image.ref for image in images])  # type: ignore[union-attr]
                there = (await self._theirs.read(refs)).results
                differing = {
                    key_of(image) for image, other in zip(images, there, strict=True) if image != other
                }
                if differing:
                    await self._settle(kind_of(images[0]), differing)
                    rhythm.begin()
                else:
                    await rhythm.rest()
                self.checked.reread += len(images)
                self._recorder.count("reread", self.checked.reread)
                await self._recorder.tell()

    async def _queries(self) -> list[Scan]:
        stats = await self._ours.stats()
        queries = [
            Scan(kind="record", within=name, limit=PAGE) for name in self._apart.without(stats.records)
        ]
        if self._ours.features.has(Facility.TASKS):
            queries += [Scan(kind="task", limit=PAGE), Scan(kind="queue", limit=PAGE)]
        if self._ours.features.has(Facility.STREAMS):
            queries.append(Scan(kind="stream", limit=PAGE))
            groups = self._apart.without(stream for stream, _ in stats.groups)
            queries += [Scan(kind="group", within=stream, limit=PAGE) for stream in groups]
        return queries

    # --- why it differs

    async def _settle(self, kind: Kind, keys: Iterable[Key]) -> None:
        """Look at these until it is clear."""
        left, mended = {key for key in keys if _told(kind, key) not in self._waived}, set[Key]()
        for _ in range(TRIES):
            before = await _fetch(self.source, kind, left)
            await self._send_up_to(await self._newest(kind, left, before.values()))
            theirs = await _fetch(self.target, kind, left)
            if kind == "event":
                left -= await self._on_their_way(left - theirs.keys())
            after = await _fetch(self.source, kind, left)
            steady = {key for key in left if before.get(key) == after.get(key)}
            for key in steady:
                left.discard(key)
                why = self._why(kind, key, after.get(key), theirs.get(key))
                if why is Why.LOST and key not in mended:
                    await self.target.load([after[key]], expect=self._expect)
                    mended.add(key)
                    left.add(key)  # it is looked at once more
                elif why is not None:
                    self.checked.found[_told(kind, key)] = why
                elif key in mended:
                    self.checked.repaired += 1
            if not left:
                return
        self.checked.found.update({_told(kind, key): Why.LAG for key in left})

    async def _newest(self, kind: Kind, keys: Iterable[Key], images: Iterable[Image]) -> int:
        """The version of what was written last of these. Events go by a write of their stream alone."""
        versions = [image.version for image in images]
        if kind == "event":
            heads = await self.source.images(_streams(keys))
            versions += [head.version for head in heads if head is not None]
        return max(versions, default=0)

    async def _on_their_way(self, events: Iterable[Key]) -> set[Key]:
        """Those above the end of the stream as the target knows it: they are sent with their stream."""
        heads = await self.target.images(_streams(events))
        lasts = {head.ref.stream: head.last for head in heads if isinstance(head, StreamImage)}
        return {key for key in events if int(key[1]) > lasts.get(str(key[0]), 0)}

    async def _send_up_to(self, version: int) -> None:
        while (marks := await self._pump.waiting(1)) and marks[0].version <= version:
            await self._pump.round()

    def _why(self, kind: Kind, key: Key, ours: Image | None, theirs: Image | None) -> Why | None:
        """None: they are equal."""
        if kind != "event" and _ref(kind, key) in self._pump.poison:
            return Why.POISON
        if ours == theirs or (ours is None and isinstance(theirs, Gone)):
            return None
        if ours is None:
            return Why.GHOST
        if theirs is None or theirs.version < ours.version:
            return Why.LOST
        return Why.CORRUPT if theirs.version == ours.version else Why.AHEAD


async def _all(port: Replication, span: Span) -> list[Image]:
    found: list[Image] = []
    while images := await port.export(replace(span, after=key_of(found[-1]) if found else span.after)):
        found += images
    return found


async def _scan(driver: Driver, query: Scan) -> AsyncIterator[Sequence[Image]]:
    while True:
        page = await driver.scan(query)
        if page.items:
            yield page.items
        if page.next is None:
            return
        query = replace(query, after=page.next)


async def _fetch(port: Replication, kind: Kind, keys: Iterable[Key]) -> dict[Key, Image]:
    """The current images of those that are there, tombstones and Gones included."""
    keys = list(keys)
    if kind == "event":
        return {key: image for key in keys for image in await port.export(_only(key))}
    images = await port.images([_ref(kind, key) for key in keys])
    return {key: image for key, image in zip(keys, images, strict=True) if image is not None}


def _streams(events: Iterable[Key]) -> list[StreamRef]:
    return [StreamRef(name) for name in sorted({str(key[0]) for key in events})]


def _only(key: Key) -> Span:
    """The span of one event."""
    stream, seq = cast(tuple[str, int], key)
    return Span(kind="event", after=(stream, seq - 1), stop=(stream, seq + 1))


def _ref(kind: Kind, key: Key) -> EntityRef:
    name, part, seq = (*key, *("", 0)[len(key) - 1 :])
    return ref_of(kind, str(name), str(part), int(seq))


def _told(kind: Kind, key: Key) -> str:
    return f"{kind} {' / '.join(map(str, key))}"
