"""Mutants that get streams wrong: appending, reading, trimming, dropping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_conformance.mutants.scans import PageMutant
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import StreamImage, StreamRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Committed,
    CreateGroup,
    DropStream,
    ExtendDeliveries,
    GroupStats,
    Nack,
    Op,
    OpResult,
    Outcome,
    Page,
    Refused,
    Reply,
    Scan,
    Seek,
    Stats,
    StreamPage,
    StreamRead,
    Trim,
    Trimmed,
)


class StreamPageMutant(Mutant):
    """Changes every page of events."""

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        reply = await super().stream(reads, fresh)
        return replace(reply, results=[self.events(page) for page in reply.results])

    def events(self, page: StreamPage) -> StreamPage:
        raise NotImplementedError


@mutant("stream.append.round_trip", "checkpoints.values")
class TakesEventsForText(StreamPageMutant):
    def events(self, page: StreamPage) -> StreamPage:
        return replace(page, events=[replace(event, raw=False) for event in page.events])


@mutant("stream.append.many_of_one_trip")
class AppendsBackwards(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches[::-1], trip_id)
        return replace(reply, results=reply.results[::-1])


def appends_of(batch: Batch) -> tuple[Op, ...]:
    return tuple(op for op in batch.ops if isinstance(op, Append))


@mutant("stream.append.refused_leaves_no_gap")
class RefusalsUseUpNumbers(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        for batch, outcome in zip(batches, reply.results, strict=True):
            if isinstance(outcome, Refused) and appends_of(batch):
                await self.right.commit([Batch(appends_of(batch))], uuid4().hex)
        return reply


class ApartMutant(Mutant):
    """Commits some operations each in a trip of its own, before all others."""

    apart: ClassVar[type[Op]] = Append

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        replies = [await self._commit(batch) for batch in batches]
        return replace(replies[-1], results=[reply.results[0] for reply in replies])

    async def _commit(self, batch: Batch) -> Reply[Outcome]:
        results: dict[int, OpResult] = {}
        for place, op in enumerate(batch.ops):
            if isinstance(op, self.apart) and len(batch.ops) > 1:
                await asyncio.sleep(0)
                reply = await self.right.commit([Batch((op,), batch.checks)], uuid4().hex)
                if isinstance(reply.results[0], Refused):
                    return reply
                results[place] = reply.results[0].results[0]
        rest = tuple(op for place, op in enumerate(batch.ops) if place not in results)
        reply = await self.right.commit([replace(batch, ops=rest)], uuid4().hex)
        done = reply.results[0]
        if isinstance(done, Refused):
            return reply
        others = iter(done.results)
        every = [results[place] if place in results else next(others) for place in range(len(batch.ops))]
        return replace(reply, results=[replace(done, results=tuple(every))])


@mutant("stream.append.all_kinds_or_nothing", "events.publish_many.side_by_side")
class AppendsApart(ApartMutant):
    pass


@mutant("stream.append.once_by_commit_id")
class AppendsAgain(Mutant):
    async def batch(self, batch: Batch) -> Batch:
        return replace(batch, commit_id=None, fingerprint=None) if appends_of(batch) else batch


@mutant("stream.append.race", "events.follow.misses_nothing", "checkpoints.list")
class ShowsLaterEventsFirst(Mutant):
    """What is not committed yet when a later event is read is never seen: numbers by an open sequence."""

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        reply = await super().stream(reads, fresh)
        return replace(reply, results=[self._without_late_ones(page) for page in reply.results])

    def _without_late_ones(self, page: StreamPage) -> StreamPage:
        """Of two events that are new to it, the earlier one comes late."""
        known: set[int] = self.memory.setdefault("known", set())
        new = [event.seq for event in page.events if event.seq not in known]
        known |= set(new[1:]) if len(new) > 1 else set(new)
        late = new[0] if len(new) > 1 else 0
        return replace(page, events=[event for event in page.events if event.seq != late])


@mutant("stream.read.bounds")
class StartIsExcluded(Mutant):
    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await super().stream([replace(read, start=read.start + 1) for read in reads], fresh)


@mutant("stream.read.bounds", "checkpoints.latest", "checkpoints.snapshots")
class ReadsUpwardsOnly(Mutant):
    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await super().stream([replace(read, reverse=False) for read in reads], fresh)


@mutant("stream.read.of_several_streams")
class AnswersEachStreamOnce(Mutant):
    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await super().stream(list(dict.fromkeys(reads)), fresh)


@mutant("stream.read.one_snapshot")
class ReadsOneAfterTheOther(Mutant):
    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        replies = [await super(ReadsOneAfterTheOther, self).stream([read], fresh) for read in reads]
        return replace(replies[-1], results=[reply.results[0] for reply in replies])


@mutant("stream.read.large_pages_end_early")
class CannotReadLargePages(StreamPageMutant):
    def events(self, page: StreamPage) -> StreamPage:
        too_large = sum(len(event.body) for event in page.events) > REPLY_BYTES
        return replace(page, events=()) if too_large else page


@mutant("stream.names_are_literal")
class FoldsStreams(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, ref=self._fold(op.ref)) if isinstance(op, Append) else op

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await super().stream([replace(read, ref=self._fold(read.ref)) for read in reads], fresh)

    def _fold(self, ref: StreamRef) -> StreamRef:
        return StreamRef(ref.stream.casefold())


@mutant("stream.at_peer", "stream.survives_reopen", "checkpoints.at_peer", "checkpoints.saved_at_once")
class SeesItsOwnEventsOnly(Mutant):
    """Those that it appended itself."""

    def __init__(self, right: Any, memory: dict[Any, Any]) -> None:
        super().__init__(right, memory)
        self._own: set[int] = set()

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        self._own |= {outcome.version for outcome in reply.results if isinstance(outcome, Committed)}
        return reply

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        reply = await super().stream(reads, fresh)
        pages = [
            replace(page, events=[event for event in page.events if event.version in self._own])
            for page in reply.results
        ]
        return replace(reply, results=pages)


@mutant("stream.instants")
class StampsEventsWhenTheyAreRead(Mutant):
    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        reply = await super().stream(reads, fresh)
        pages = [
            replace(page, events=[replace(event, at=reply.at + 1) for event in page.events])
            for page in reply.results
        ]
        return replace(reply, results=pages)


@mutant("stream.scan")
class ListsStreamsLikeADictionary(PageMutant):
    def page(self, query: Scan, page: Page) -> Page:
        if query.kind != "stream":
            return page
        images = cast("Sequence[StreamImage]", page.items)
        return replace(page, items=sorted(images, key=lambda image: image.ref.stream.casefold()))


# Trimming and dropping


class TrimMutant(Mutant):
    """Changes every Trim."""

    async def op(self, op: Op) -> Op:
        return self.trim(op) if isinstance(op, Trim) else op

    def trim(self, trim: Trim) -> Trim:
        raise NotImplementedError


@mutant("stream.trim.without_groups", "checkpoints.prune")
class TrimIncludesItsFirst(TrimMutant):
    def trim(self, trim: Trim) -> Trim:
        return replace(trim, first=trim.first + 1)


@mutant("stream.trim.keeps_the_unfinished")
class TrimIgnoresGroups(TrimMutant):
    def trim(self, trim: Trim) -> Trim:
        return replace(trim, force=True)


@mutant("stream.trim.forced")
class TrimNeverForces(TrimMutant):
    def trim(self, trim: Trim) -> Trim:
        return replace(trim, force=False)


@mutant("stream.trim.is_a_gap")
class HidesTheGap(StreamPageMutant):
    def events(self, page: StreamPage) -> StreamPage:
        return replace(page, first=1)


class TrimResultMutant(Mutant):
    """Changes what a Trim says."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        pairs = zip(batches, reply.results, strict=True)
        return replace(reply, results=[self._changed(batch, outcome) for batch, outcome in pairs])

    def _changed(self, batch: Batch, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused):
            return outcome
        results = [
            self.trimmed(op, result) if isinstance(op, Trim) and isinstance(result, Trimmed) else result
            for op, result in zip(batch.ops, outcome.results, strict=True)
        ]
        return replace(outcome, results=tuple(results))

    def trimmed(self, trim: Trim, trimmed: Trimmed) -> Trimmed:
        raise NotImplementedError


@mutant("stream.trim.many")
class ForgetsWhatWasLeft(TrimResultMutant):
    """It stops early, and says that it came to the end."""

    async def op(self, op: Op) -> Op:
        return replace(op, first=min(op.first, 500)) if isinstance(op, Trim) else op

    def trimmed(self, trim: Trim, trimmed: Trimmed) -> Trimmed:
        return replace(trimmed, first=trim.first)


@mutant("stream.trim.forced_counts_the_unfinished_only")
class CountsAllAsDropped(TrimResultMutant):
    def trimmed(self, trim: Trim, trimmed: Trimmed) -> Trimmed:
        return replace(trimmed, dropped=trimmed.removed) if trim.force else trimmed


class OrderMutant(Mutant):
    """Does some operations of a batch before the others."""

    first: ClassVar[tuple[type[Op], ...]] = ()

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        orders = [sorted(range(len(batch.ops)), key=self._late(batch)) for batch in batches]
        pairs = list(zip(batches, orders, strict=True))
        changed = [replace(batch, ops=tuple(batch.ops[n] for n in order)) for batch, order in pairs]
        reply = await self.right.commit(changed, trip_id)
        outcomes = [self._back(done, order) for done, order in zip(reply.results, orders, strict=True)]
        return replace(reply, results=outcomes)

    def _late(self, batch: Batch) -> Any:
        return lambda n: not isinstance(batch.ops[n], self.first)

    def _back(self, outcome: Outcome, order: list[int]) -> Outcome:
        if isinstance(outcome, Refused):
            return outcome if outcome.in_check else replace(outcome, index=order[outcome.index])
        results = dict(zip(order, outcome.results, strict=True))
        return replace(outcome, results=tuple(results[n] for n in range(len(order))))


@mutant("stream.trim.sees_its_batch")
class TrimsBeforeItAcks(OrderMutant):
    first = (Trim,)


@mutant("stream.trim.not_current_after_it")
class AcksBeforeItTrims(OrderMutant):
    first = (Ack, Nack, ExtendDeliveries)


@mutant("stream.drop.and_begin_anew")
class DropsLast(OrderMutant):
    first = (Append, CreateGroup)


@mutant("group.create.before_its_stream")
class MakesGroupsBeforeItAppends(OrderMutant):
    first = (CreateGroup,)


@mutant("stream.drop", "checkpoints.delete")
class DropLeavesAnEmptyStream(Mutant):
    async def op(self, op: Op) -> Op:
        return Trim(op.ref, 2**50, force=True) if isinstance(op, DropStream) else op


@mutant("stream.drop.loses_leases", "delivery.ack.once", "errors.no_bodies_in_messages")
class TakesAcksOfWhatIsGone(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        return replace(reply, results=[self._forgive(outcome, reply.at) for outcome in reply.results])

    def _forgive(self, outcome: Outcome, at: int) -> Outcome:
        gone = isinstance(outcome, Refused) and outcome.seq and not outcome.actual
        return Committed(0, at, (None,)) if gone else outcome


@mutant("group.claim.skips_the_trimmed")
class TrimMovesGroupsToTheEnd(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        for op in [op for batch in batches for op in batch.ops if isinstance(op, Trim) and op.force]:
            groups = await self.right.scan(Scan(kind="group", within=op.ref.stream))
            for image in groups.items:
                await self.right.commit([Batch((Seek(cast(Any, image).ref, 2**50),))], uuid4().hex)
        return reply


@mutant("group.stats")
class LagIsOfTheWholeStream(Mutant):
    async def stats(self) -> Stats:
        stats = await super().stats()
        groups = {key: self._lagging(stats, key[0], group) for key, group in stats.groups.items()}
        return replace(stats, groups=groups)

    def _lagging(self, stats: Stats, stream: str, group: GroupStats) -> GroupStats:
        return replace(group, lag=stats.streams.get(stream, 0))


@mutant("events.slow_group")
class LagCountsTheTrimmed(Mutant):
    """By the head of a stream that forgets nothing."""

    async def read(self, refs: Sequence[Any], fresh: bool = False) -> Reply[Any]:
        reply = await super().read(refs, fresh)
        found = [
            replace(image, first=1) if isinstance(image, StreamImage) else image for image in reply.results
        ]
        return replace(reply, results=found)
