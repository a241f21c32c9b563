"""A hybrid of which some collections and streams live in the fast store alone.

Core never sends some of these and something else together, unless it was configured for another store and the
hive has moved here: then a write trip that is mixed is refused whole, core tries each of its batches alone,
and reads are taken apart. The replication port knows the durable store only: what is ephemeral is not moved.
Instants, versions and trips of the two parts have nothing to do with one another; the epoch that is told is
always the durable store's, whose control row says where the hive lives. It is looked at now and then, so that
who has to do with the fast store alone hears of a move too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar, cast

from msgspec.structs import asdict, replace

from hive_state_core.apart import Apart
from hive_state_core.background import Background
from hive_state_core.caching import Cache
from hive_state_core.control import refusal
from hive_state_core.errors import HiveStateError, Indeterminate, Internal, InvalidArgument
from hive_state_core.features import Features
from hive_state_core.model import ReadRef, RecordImage, RecordRef, StreamImage, StreamRef, Topic
from hive_state_core.spi import (
    MISSED,
    Batch,
    Claimed,
    ClaimRequest,
    Control,
    ControlState,
    Driver,
    Finding,
    Missed,
    Outcome,
    Page,
    Replication,
    Reply,
    Retention,
    Scan,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    Stats,
    StreamPage,
    StreamRead,
    Swept,
)
from hive_state_hybrid.driver import UNSURE, HybridDriver
from hive_state_hybrid.ephemeral import Ephemeral
from hive_state_hybrid.listing import with_heads
from hive_state_hybrid.options import Options

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Send = Callable[[Sequence[Ask]], Awaitable[Reply[Answer]]]

LOOK_S = 0.5
"""Between two looks at the control row."""

log = logging.getLogger("hive_state.hybrid")


class PartedDriver(HybridDriver):
    """See `hive_state_core.spi.Driver`. `fast` is a driver of the fast store, in a namespace of its own."""

    def __init__(self, durable: Driver, cache: Cache, fast: Driver, options: Options) -> None:
        super().__init__(durable, cache, options)
        ttl = None if options.default_ttl is None else int(options.default_ttl * 1000)
        self._ephemeral = Ephemeral(fast, ttl, options.stream_maxlen)
        self._apart = Apart(frozenset(options.ephemeral))
        self._parted = replace(super().features, ephemeral=self._apart.names)
        self._epoch = 0
        self._left: HiveStateError | None = None
        self._looking = Looking(self)
        self._unsure_there: dict[str, None] = {}

    @property
    def features(self) -> Features:
        return self._parted

    async def open(self) -> None:
        await super().open()
        await self.control()
        await self._ephemeral.open()
        self._looking.start()

    async def close(self) -> None:
        await self._looking.stop()
        await self._ephemeral.close()
        await super().close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        if action == "drop":
            await self._ephemeral.driver.schema(action)
        return await super().schema(action)

    async def examine(self) -> Sequence[Finding]:
        return [*await super().examine(), *await self._ephemeral.examine()]

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        row = await super().control(expect, change)
        self._epoch = row.epoch
        sealed = row.state is ControlState.SEALED  # for a moment, and then the hive may stay
        self._left = None if sealed else refusal(row.state, row.peer)
        return row

    # -- reading

    async def recall(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | Missed | None]:
        if not any(map(self._apart.has, refs)):
            return await super().recall(refs)
        return Reply(self._epoch, 0, [MISSED] * len(refs))  # what is ephemeral is never in the cache

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | None]:
        async def here(some: Sequence[RecordRef]) -> Reply[RecordImage | None]:
            reply = await HybridDriver.fetch(self, some)
            self._epoch = reply.epoch
            return reply

        async def there(some: Sequence[RecordRef]) -> Reply[RecordImage | None]:
            reply = await self._ephemeral.call(lambda driver: driver.read(some))
            return cast("Reply[RecordImage | None]", reply)

        return await self._each(refs, [self._apart.has(ref) for ref in refs], here, there)

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        async def here(some: Sequence[ReadRef]) -> Reply[ScanImage | None]:
            reply = await HybridDriver.read(self, some, fresh)
            self._epoch = reply.epoch
            return reply

        async def there(some: Sequence[ReadRef]) -> Reply[ScanImage | None]:
            return await self._ephemeral.call(lambda driver: driver.read(some))

        return await self._each(refs, [self._apart.has(ref) for ref in refs], here, there)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        async def here(some: Sequence[StreamRead]) -> Reply[StreamPage]:
            return await HybridDriver.stream(self, some, fresh)

        async def there(some: Sequence[StreamRead]) -> Reply[StreamPage]:
            return await self._ephemeral.call(lambda driver: driver.stream(some))

        return await self._each(reads, [self._apart.has(read.ref) for read in reads], here, there)

    async def _each(
        self,
        asked: Sequence[Ask],
        ephemeral: Sequence[bool],
        here: Send[Ask, Answer],
        there: Send[Ask, Answer],
    ) -> Reply[Answer]:
        """The answers in the order of what was asked, of both stores if need be."""
        if not any(ephemeral):
            return await here(asked)
        replies = {
            True: await there([each for each, is_there in zip(asked, ephemeral, strict=True) if is_there])
        }
        replies[False] = (
            replies[True]
            if all(ephemeral)
            else await here([each for each, is_there in zip(asked, ephemeral, strict=True) if not is_there])
        )
        rest = {is_there: iter(reply.results) for is_there, reply in replies.items()}
        return Reply(self._epoch, replies[False].at, [next(rest[is_there]) for is_there in ephemeral])

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        if self._apart.cover(query):
            return replace(await self._ephemeral.call(lambda driver: driver.scan(query)), epoch=self._epoch)
        page = await super().scan(query, fresh)
        return page if query.kind != "stream" else with_heads(page, query, await self._heads())

    async def _heads(self) -> list[StreamImage]:
        """Of the streams that are there."""
        refs = [StreamRef(name) for name in sorted(self._apart.names)]
        try:
            reply = await self._ephemeral.call(lambda driver: driver.read(refs))
        except HiveStateError as error:
            log.debug("ephemeral streams are left out of a list: %s", error)
            return []
        return [cast(StreamImage, head) for head in reply.results if head is not None]

    # -- writing

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        if not _alike(batches, self._apart.hold):
            return await super().commit(batches, trip_id)
        return await self._written(lambda: self._ephemeral.commit(batches, trip_id), trip_id)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        if not _alike(requests, self._apart.serve):
            return await super().claim(requests, trip_id)
        claimed = partial(self._ephemeral.call, lambda driver: driver.claim(requests, trip_id))
        return await self._written(claimed, trip_id)

    async def _written(self, send: Callable[[], Awaitable[Reply[Answer]]], trip_id: str) -> Reply[Answer]:
        """The reply of a trip, where the hive lives here, as far as is known."""
        if self._left is not None:
            raise self._left.copy()
        try:
            return replace(await send(), epoch=self._epoch)
        except Indeterminate:
            self._unsure_there[trip_id] = None
            if len(self._unsure_there) > UNSURE:
                del self._unsure_there[next(iter(self._unsure_there))]
            raise

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        if trip_id not in self._unsure_there:
            return await super().outcome(trip_id)
        reply = await self._ephemeral.call(lambda driver: driver.outcome(trip_id))
        del self._unsure_there[trip_id]
        return reply

    # -- both

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        if not any(map(self._apart.has, topics)):
            return await super().wait(topics, timeout)
        try:
            return await self._ephemeral.call(lambda driver: driver.wait(topics, timeout))
        except HiveStateError:
            await asyncio.sleep(timeout / 1000)
            return frozenset()

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        swept = await super().sweep(limit, retention)
        try:
            other = await self._ephemeral.call(lambda driver: driver.sweep(limit, retention))
        except HiveStateError as error:
            log.debug("what is ephemeral was not swept: %s", error)
            return swept
        counts = {name: value + getattr(other, name) for name, value in asdict(swept).items()}
        return Swept(**{**counts, "more": swept.more or other.more})

    async def stats(self) -> Stats:
        stats = await super().stats()
        try:
            there = await self._ephemeral.call(lambda driver: driver.stats())
        except HiveStateError as error:
            told = f"what is ephemeral ({', '.join(sorted(self._apart.names))}) cannot be used: {error}"
            return replace(stats, warnings=(*stats.warnings, told))
        return replace(
            stats,
            records={**stats.records, **there.records},
            streams={**stats.streams, **there.streams},
            groups={**stats.groups, **there.groups},
            pools={**there.pools, **stats.pools},
        )


class Looking(Background):
    """At the control row of a store."""

    def __init__(self, port: Replication) -> None:
        self._port = port

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._port.control()
            except HiveStateError as error:
                log.debug("the control row could not be looked at: %s", error)


def _alike(asked: Sequence[Ask], is_ephemeral: Callable[[Ask], bool]) -> bool:
    """Whether all are. Raises Internal if only some are, and nothing was done: core asks for each alone."""
    try:
        found = [is_ephemeral(each) for each in asked]
    except InvalidArgument as error:
        if len(asked) == 1:
            raise
        raise Internal("a batch names what is ephemeral and something else") from error
    if any(found) and not all(found):
        raise Internal("a trip names what is ephemeral and something else")
    return any(found)
