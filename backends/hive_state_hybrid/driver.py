"""The hybrid driver: the durable store decides everything, the cache answers for single records."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_core.caching import Cache, Entry
from hive_state_core.errors import ConfigError, HiveStateError, Indeterminate
from hive_state_core.features import Consistency, Facility, Features, Wake
from hive_state_core.model import EntityRef, Image, ReadRef, RecordImage, RecordRef, Topic
from hive_state_core.spi import (
    CACHE,
    MISSED,
    NO_NOTES,
    Batch,
    Claimed,
    ClaimRequest,
    Committed,
    Control,
    ControlState,
    Digest,
    Driver,
    Examining,
    Finding,
    Mark,
    Missed,
    Notes,
    Outcome,
    Page,
    Pouring,
    Reason,
    Refused,
    Replication,
    Reply,
    Retention,
    Scan,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    Span,
    Stats,
    StreamPage,
    StreamRead,
    Swept,
    Warming,
)
from hive_state_hybrid.ahead import MANY, Ahead
from hive_state_hybrid.board import PREFIX
from hive_state_hybrid.derive import written
from hive_state_hybrid.facts import counts, facts
from hive_state_hybrid.fencing import Fence
from hive_state_hybrid.front import Front
from hive_state_hybrid.options import Options
from hive_state_hybrid.relay import Relay, with_sink
from hive_state_hybrid.waking import Waking

YOUNG_MS = 30_000
"""What was written longer ago has reached the cache: no commit takes so long from its instant to its end."""

log = logging.getLogger("hive_state.hybrid")

UNSURE = 1000
"""Trips of unknown end whose batches are remembered."""


class HybridDriver:
    """See `hive_state_core.spi.Driver`, `Caching` and `Replication`."""

    def __init__(self, durable: Driver, cache: Cache, options: Options) -> None:
        if not durable.features.has(Facility.REPLICATION):
            raise ConfigError(
                f"the store {options.durable} cannot be the durable part of a hybrid: it has no marks"
            )
        self._durable = durable
        self._port = cast(Replication, durable)
        if isinstance(durable, Pouring):
            self.rows, self.pour = durable.rows, durable.pour
        self._options = options
        self._own = uuid4().hex[:12]
        self._front = front = Front(cache, options)
        self._ahead = Ahead(durable, front, self._own)
        front.near.reading = self._ahead.read
        self._relay = Relay(durable, self._port, front, self._own, options.beat)
        self._unsure: OrderedDict[str, Sequence[Batch]] = OrderedDict()
        self._waking = Waking(durable, cache, front.breaker, options.cache_timeout)
        self._features = replace(durable.features, consistency=options.consistency, wake=Wake.PUSH)
        if options.consistency is Consistency.LINEARIZABLE:
            front.fence = Fence(durable, self._port, self._own, front.ping)

    @property
    def features(self) -> Features:
        return self._features

    @property
    def namespace(self) -> str:
        return self._durable.namespace

    async def open(self) -> None:
        await self._durable.open()
        row = await with_sink(self._port)
        self._front.store_id = row.store_id
        try:
            await self._front.reach()
            await self._relay.round()
        except HiveStateError as error:
            log.warning("the cache %s cannot be reached: %s", self._options.fast, error)
        self._relay.start()

    async def close(self) -> None:
        await self._relay.stop()
        await self._ahead.close()
        await self._waking.close()
        if self._front.fence is not None:
            await self._front.fence.close()
        await self._front.close()
        await self._durable.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        return await self._durable.schema(action)

    async def examine(self) -> Sequence[Finding]:
        return await self._durable.examine() if isinstance(self._durable, Examining) else ()

    async def warm(self) -> None:
        if isinstance(self._durable, Warming):
            await self._durable.warm()

    # -- reading

    def peek(self, ref: RecordRef) -> RecordImage | Missed | None:
        image = self._front.near.peek(ref)
        return MISSED if image is None and self._front.passes() else image

    async def recall(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | Missed | None]:
        return await self._front.recall(refs, self._own)

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | None]:
        sent = monotonic()
        reply = cast("Reply[RecordImage | None]", await self._durable.read(refs))
        await self._front.fetched(refs, reply, sent)
        self._ahead.missed(refs)
        return reply

    def counts(self) -> tuple[int, int]:
        return counts(self._front)

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        sent = monotonic()
        reply = await self._durable.read(refs, fresh)
        absent = [
            ref
            for ref, image in zip(refs, reply.results, strict=True)
            if image is None and isinstance(ref, RecordRef)
        ]
        await self._saw(reply.results, reply.at, sent, absent)
        return reply

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        sent = monotonic()
        page = await self._durable.scan(query, fresh)
        if query.kind == "record" and query.values:
            await self._saw(page.items, page.at, sent)
        return page

    async def _saw(
        self, images: Iterable[ScanImage | None], at: int, sent: float, absent: Sequence[RecordRef] = ()
    ) -> None:
        """Nobody is to be told less than what was just read beside the cache."""
        front, entries = self._front, list[Entry]()
        front.heard(at)
        for image in images:
            if isinstance(image, RecordImage):
                front.keep(image, at, sent)
                if image.updated_at > at - YOUNG_MS:
                    entries.append(front.entry(image, at, sent))
        for ref in absent:
            front.near.gone(ref)
            entries.append(front.unknown(ref))
        await front.saw(entries)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self._durable.stream(reads, fresh)

    # -- writing

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        sent = monotonic()
        try:
            reply = await self._durable.commit(batches, trip_id)
        except Indeterminate:
            self._unsure[trip_id] = batches
            if len(self._unsure) > UNSURE:
                self._unsure.popitem(last=False)
            raise
        await self._wrote(batches, reply, sent)
        self._waking.happened(batches)
        return reply

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        sent = monotonic()
        reply = await self._durable.outcome(trip_id)
        batches = self._unsure.pop(trip_id, None)
        if batches is not None and reply is not None:
            await self._wrote(batches, cast("Reply[Outcome]", reply), sent, late=True)
        return reply

    async def _wrote(
        self, batches: Sequence[Batch], reply: Reply[Outcome], sent: float, late: bool = False
    ) -> None:
        """`late`: the instants of the reply are from before `sent`."""
        front, entries, trips = self._front, list[Entry](), list[int]()
        front.heard(reply.at)
        for batch, outcome in zip(batches, reply.results, strict=True):
            if isinstance(outcome, Committed):
                if outcome.version:
                    self._tell(entries, batch, outcome, sent, late or outcome.at != reply.at)
                    if batch.commit_id is None:  # else it may be a part of an earlier trip
                        trips.append(outcome.version)
            else:
                self._refused(outcome)
        await front.tell(entries, trips)

    def _tell(
        self, entries: list[Entry], batch: Batch, committed: Committed, sent: float, late: bool
    ) -> None:
        """Note what the batch wrote, and add what the cache is to be told of it."""
        front = self._front
        near, version = front.near, committed.version
        wrote = written(batch, committed, near.known)
        if len(wrote) >= MANY:
            self._ahead.wrote([ref for ref, _ in wrote])
        for ref, image in wrote:
            if image is None or late:
                near.wrote(ref, version, -inf if late else sent)
                entries.append(Entry(ref, version))
            else:
                front.keep(image, committed.at, sent)
                entries.append(front.entry(image, committed.at, sent))

    def _refused(self, refused: Refused) -> None:
        ref = refused.ref
        if refused.reason is Reason.VERSION and isinstance(ref, RecordRef):
            self._front.outdated(ref, refused.actual)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        return await self._durable.claim(requests, trip_id)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._waking.wait(topics, timeout)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self._durable.sweep(limit, retention)

    async def stats(self) -> Stats:
        return await facts(await self._durable.stats(), self._front, self._options)

    # -- the replication port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        """Whoever moves the hive knows of no cache. A standby marks nothing for it: the epoch in which it
        opens begins with an empty one."""
        if change is not None and change.state in (ControlState.OPEN, ControlState.SEALED):
            change = replace(change, sinks=change.sinks | {CACHE})
        elif change is not None:
            change = replace(change, sinks=change.sinks - {CACHE})
        row = await self._port.control(expect, change)
        if change is not None and row.state is ControlState.SEALED:
            await self._front.silence(row.epoch)
        return row

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await self._port.marks(sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self._port.clear(sink, marks)

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await self._port.images(refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await self._port.export(span)

    async def digest(self, span: Span) -> Digest:
        return await self._port.digest(span)

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self._port.load(images, notes, expect)

    async def notes(self) -> Mapping[str, bytes]:
        notes = await self._port.notes()
        return {name: value for name, value in notes.items() if not name.startswith(PREFIX)}

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self._port.note(changes, expect)
