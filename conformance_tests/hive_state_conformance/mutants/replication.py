"""Mutants that get the replication port wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.image_rows import FIELDS
from hive_state_core.images import digest_of, key_of
from hive_state_core.model import EntityRef, Gone, Image, RecordImage, StreamImage, TaskImage, TaskState
from hive_state_core.spi import (
    CACHE,
    NO_NOTES,
    PEER,
    Batch,
    Control,
    ControlState,
    Digest,
    ImageRow,
    Kind,
    Mark,
    Notes,
    Outcome,
    Reply,
    Retention,
    Span,
    Swept,
)


@mutant("control.changed_by_its_epoch")
class ChangesControlBlindly(Mutant):
    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is not None:
            expect = (await self.port.control()).epoch
        return await self.port.control(expect, change)


class LateMutant(Mutant):
    """Says that the control row is changed while writers still go by the old one."""

    def is_late(self, change: Control) -> bool:
        raise NotImplementedError

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is None or change is None or not self.is_late(change):
            return await self.port.control(expect, change)
        self.memory["late"] = asyncio.create_task(self._later(change))
        return replace(change, epoch=expect + 1, version=(await self.port.control()).version)

    async def _later(self, change: Control) -> None:
        await asyncio.sleep(0.03)
        await self.port.control((await self.port.control()).epoch, change)


@mutant("control.sealed_for_all")
class SealsLate(LateMutant):
    def is_late(self, change: Control) -> bool:
        return change.state is ControlState.SEALED


@mutant("control.capture_has_no_hole")
class CapturesLate(LateMutant):
    def is_late(self, change: Control) -> bool:
        return PEER in change.sinks and change.state is ControlState.OPEN


@mutant("capture.tasks")
class SweepsWithoutMarks(Mutant):
    async def sweep(self, limit: int, retention: Retention) -> Swept:
        swept = await super().sweep(limit, retention)
        await self.port.clear(PEER, await self.port.marks(PEER, 1000))
        return swept


@mutant("capture.records")
class ForgetsToMarkCommitIds(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        if PEER in (await self.port.control()).sinks:
            marks = await self.port.marks(PEER, 1000)
            await self.port.clear(PEER, [mark for mark in marks if type(mark.ref).__name__ == "CommitRef"])
        return reply


@mutant("capture.one_mark_each")
class ClearsAtAnyVersion(Mutant):
    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        refs = {mark.ref for mark in marks}
        newest = [mark for mark in await self.port.marks(sink, 1000) if mark.ref in refs]
        return await self.port.clear(sink, newest)


@mutant("capture.one_mark_each")
class MarksInAnyOrder(Mutant):
    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return (await self.port.marks(sink, 1000))[::-1][:limit]


@mutant("capture.settled_by_trip")
class SettlesWhatIsOlder(Mutant):
    async def settle(self, versions: Sequence[int]) -> None:
        marks = await self.port.marks(CACHE, 1000)
        await self.port.clear(CACHE, [mark for mark in marks if mark.version <= max(versions)])


@mutant("capture.settled_by_trip")
class SettlesTheFirstOnly(Mutant):
    async def settle(self, versions: Sequence[int]) -> None:
        await self.settling.settle(versions[:1])


@mutant("capture.deleted_is_remembered")
class SweepsTombstonesTooEarly(Mutant):
    async def sweep(self, limit: int, retention: Retention) -> Swept:
        row = await self.port.control()
        bare = await self.port.control(row.epoch, replace(row, sinks=frozenset()))
        swept = await super().sweep(limit, retention)
        await self.port.control(bare.epoch, row)
        return swept


@mutant("images.tell_all")
class HidesTombstones(Mutant):
    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        found = await self.port.images(refs)
        return [None if isinstance(image, RecordImage) and image.value is None else image for image in found]


@mutant("images.gone_is_not_undone")
class ForgetsGones(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        refs = [image.ref for image in images if isinstance(image, Gone)]
        there = dict(zip(refs, await self.port.images(refs), strict=True))
        kept = [image for image in images if not isinstance(image, Gone) or there[image.ref] is not None]
        return await self.port.load(kept, notes, expect)


@mutant("images.tell_all")
class ExportsNoTombstones(Mutant):
    async def export(self, span: Span) -> Sequence[Image]:
        found = await self.port.export(span)
        return [image for image in found if not isinstance(image, RecordImage) or image.value is not None]


@mutant("images.spans")
class IncludesTheStop(Mutant):
    async def export(self, span: Span) -> Sequence[Image]:
        found = list(await self.port.export(span))
        if span.stop is not None and len(found) < span.limit:
            after = key_of(found[-1]) if found else span.after
            behind = await self.port.export(replace(span, after=after, stop=None, limit=1))
            found += [image for image in behind if key_of(image) == span.stop]
        return found


@mutant("images.loaded_if_newer")
class LoadsWhatIsOlder(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        version = (await self.port.control()).version
        newer = [
            replace(image, version=max(image.version, version + 1))
            if isinstance(image, RecordImage)
            else image
            for image in images
        ]
        return await self.port.load(newer, notes, expect)


class LoadMutant(Mutant):
    """Loads other images than it is given."""

    def loaded(self, image: Image) -> Image:
        raise NotImplementedError

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self.port.load([self.loaded(image) for image in images], notes, expect)


@mutant("moved.ttl_goes_on")
class LetsTtlsDrift(LoadMutant):
    def loaded(self, image: Image) -> Image:
        if isinstance(image, RecordImage) and image.expires_at is not None:
            return replace(image, expires_at=image.expires_at + 1)
        return image


@mutant("moved.tasks_go_on")
class ReleasesLeases(LoadMutant):
    def loaded(self, image: Image) -> Image:
        if isinstance(image, TaskImage) and image.state is TaskState.LEASED:
            return replace(image, state=TaskState.READY, token=0, lease_until=None, worker=None)
        return image


@mutant("images.loaded_exactly")
class LoadsNoDedupeKeys(LoadMutant):
    def loaded(self, image: Image) -> Image:
        return replace(image, dedupe_key=None) if isinstance(image, TaskImage) else image


@mutant("import.fills")
class TakesAnyTerm(LoadMutant):
    """As if what is above term 0 were of term 0."""

    def loaded(self, image: Image) -> Image:
        return replace(image, version=image.version & 0xFFF)


@mutant("import.fills_queues")
class ImportsLeasesAsTheyAre(LoadMutant):
    """But for their tokens."""

    def loaded(self, image: Image) -> Image:
        return replace(image, token=image.token + 1) if isinstance(image, TaskImage) else image


@mutant("import.leaves_streams")
class ImportsNoHeads(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self.port.load(
            [image for image in images if not isinstance(image, StreamImage)], notes, expect
        )


@mutant("notes.kept_beside")
class LoadsWithoutTheCursor(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self.port.load(images, expect=expect)


@mutant("images.loaded_only_as_expected")
class LoadsForWhoeverSlept(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self.port.load(images, notes)


@mutant("rows.poured_only_where_allowed")
class PoursForWhoeverSlept(Mutant):
    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self.pouring.pour(kind, rows, notes)


@mutant("images.loaded_only_where_allowed")
class WritesTheCursorFirst(Mutant):
    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        await self.port.note(notes)
        return await self.port.load(images, expect=expect)


class BlindMutant(Mutant):
    """Its digest does not look at all fields."""

    def seen(self, image: Image) -> Image:
        raise NotImplementedError

    async def digest(self, span: Span) -> Digest:
        found = await self.port.export(replace(span, limit=100_000))
        return digest_of([self.seen(image) for image in found])


@mutant("images.digest_sees_all")
class DigestsNoTtl(BlindMutant):
    def seen(self, image: Image) -> Image:
        return replace(image, expires_at=None) if isinstance(image, RecordImage) else image


@mutant("images.digest_sees_all")
class DigestsNoLease(BlindMutant):
    def seen(self, image: Image) -> Image:
        return replace(image, token=0, lease_until=None) if isinstance(image, TaskImage) else image


@mutant("rows.as_exported")
class ExportsRowsWithoutTheirBounds(Mutant):
    async def rows(self, span: Span) -> Sequence[ImageRow]:
        return await self.pouring.rows(replace(span, stop=None, below=None))


@mutant("rows.poured_as_loaded", "rows.poured_beside_gones")
class CountsAllThatItPours(Mutant):
    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        await self.pouring.pour(kind, rows, notes, expect)
        return len(rows)


@mutant("rows.poured_as_loaded")
class ForgetsTheCursorOfWhatItPours(Mutant):
    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self.pouring.pour(kind, rows, expect=expect)


@mutant("rows.poured_only_where_allowed")
class WritesTheCursorBeforeItPours(Mutant):
    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        await self.port.note(notes)
        return await self.pouring.pour(kind, rows, expect=expect)


@mutant("rows.poured_as_loaded", "rows.poured_children_go_on")
class PoursTasksAsOrphans(Mutant):
    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        if kind == "task":
            parents, unmet = map(FIELDS[kind].index, ("parents", "unmet"))
            orphan = {parents: None, unmet: 0}
            rows = [[orphan.get(n, value) for n, value in enumerate(row)] for row in rows]
        return await self.pouring.pour(kind, rows, notes, expect)


@mutant("moved.warmed")
class WarmsByANote(Mutant):
    async def warm(self) -> None:
        await self.port.note({"warmed": b"1"})
