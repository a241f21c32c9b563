"""The Redis driver: every trip is one call of a function in the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from hive_state_core.errors import Closed
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.images import add, digest_of, key_of
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EntityRef, Image, ReadRef, Topic
from hive_state_core.spi import (
    NO_NOTES,
    Batch,
    Claimed,
    ClaimRequest,
    Control,
    Digest,
    Finding,
    Mark,
    Notes,
    Outcome,
    Page,
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
)
from hive_state_core.topics import hashes_of
from hive_state_redis import (
    controlling,
    counting,
    durability,
    examining,
    exporting,
    keeping,
    loading,
    reading,
    replies,
    scanning,
    schema,
)
from hive_state_redis.caller import Caller
from hive_state_redis.claiming import claim_plan
from hive_state_redis.connecting import Link, connect
from hive_state_redis.encoding import Encoded, encode
from hive_state_redis.facts import facts_of
from hive_state_redis.keys import Keys
from hive_state_redis.options import RedisOptions
from hive_state_redis.waiting import Listener, news_of
from hive_state_redis.wire import Wire

DIGEST_PAGE = 2000
"""Images that are read and digested at once."""

KEPT_MS = 24 * 3600 * 1000
"""How long a trip that was made void is remembered."""

HEARD = 16
"""Replies that were heard, and are kept until a trip takes so many of their ids along."""


class RedisDriver:
    """See `hive_state_core.spi.Driver`."""

    def __init__(self, options: RedisOptions, namespace: str) -> None:
        self._options = options
        self._namespace = namespace
        self._keys = Keys(options.tag(namespace))
        self._caller: Caller | None = None
        self._listener = Listener(self._listen)
        self._heard: list[str] = []
        self._features = Features(
            durability=Durability.VOLATILE,
            sharing=Sharing.NETWORK,
            consistency=Consistency.LINEARIZABLE,
            wake=Wake.PUSH,
            clock=Clock.SERVER,
            facilities=frozenset(Facility),
            trips=2,
        )

    @property
    def features(self) -> Features:
        return self._features

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        """Redis needs no schema, so a namespace is made when it is opened first.

        What a write survives is told by the server's settings, so it is known from here on.
        """
        link = await self._connect()
        try:
            facts = await facts_of(link)
            durability.check(facts, self._options)
            caller = Caller(link, self._keys)
            await schema.ensure(caller)
        except BaseException:
            await link.close()
            raise
        durability.warn(facts, self._options)
        level = durability.judged(facts, self._options).level
        self._caller = caller
        self._features = replace(self._features, durability=level)

    async def close(self) -> None:
        await self._listener.close()
        caller, self._caller = self._caller, None
        if caller is not None:
            await caller.link.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        if self._caller is not None:
            return await schema.act(self._caller, action)
        link = await self._connect()
        try:
            return await schema.act(Caller(link, self._keys), action)
        finally:
            await link.close()

    async def examine(self) -> list[Finding]:
        link = await self._connect()
        try:
            return examining.examine(await facts_of(link), self._options)
        finally:
            await link.close()

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return await reading.read(self._opened(), refs)

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await scanning.scan(self._opened(), query)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await reading.stream(self._opened(), reads)

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        encoded = Encoded(batches)
        news = news_of(hashes_of(batches))
        heard = self._take_heard()
        reply = await self._opened().write("commit", encoded.plan, trip_id, heard, news, *encoded.values)
        return replies.commit_reply(encoded.batches, reply)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        plan = claim_plan(requests)
        reply = await self._opened().write("claim", plan, trip_id, self._take_heard(), REPLY_BYTES)
        return replies.claim_reply(reply)

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        reply = await self._opened().write("outcome", trip_id, KEPT_MS)
        if not reply:
            return None
        kind, *rest = reply
        return replies.claim_reply(rest) if kind == b"l" else replies.stored_commit(*rest)

    def heard(self, trip_id: str) -> None:
        self._heard.append(trip_id)

    def _take_heard(self) -> bytes:
        """Ids for a trip to take along: all of them, once they are some. If the trip is lost, their replies
        stay for a day."""
        if len(self._heard) < HEARD:
            return b""
        heard, self._heard = self._heard, []
        return encode(heard)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._listener.wait(topics, timeout)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await keeping.sweep(self._opened(), limit, retention)

    async def stats(self) -> Stats:
        caller = self._opened()
        facts = await facts_of(caller.link)
        found = await counting.stats(caller)
        return replace(
            found,
            backend={"place": self._options.place, **counting.about(facts)},
            pools={"redis": caller.link.stats()},
            memory=counting.memory(facts),
            warnings=durability.warnings(facts, self._options),
        )

    # -- the replication port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is None or change is None:
            return await controlling.read_control(self._opened())
        return await controlling.change_control(self._opened(), expect, change)

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await controlling.marks(self._opened(), sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await controlling.clear(self._opened(), sink, marks)

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await exporting.images(self._opened(), refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await exporting.export(self._opened(), span)

    async def digest(self, span: Span) -> Digest:
        """Page by page, so that the event loop is not held up."""
        total, page = Digest(0, 0), replace(span, limit=DIGEST_PAGE)
        while found := await self.export(page):
            total = add(total, digest_of(found))
            page = replace(page, after=key_of(found[-1]))
        return total

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await loading.load(self._opened(), images, notes, expect)

    async def notes(self) -> Mapping[str, bytes]:
        return await controlling.read_notes(self._opened())

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await controlling.note(self._opened(), changes, expect)

    # -- connections

    async def _connect(self) -> Link:
        return await connect(self._options, self._options.tag(self._namespace))

    async def _listen(self, heard: Callable[[bytes | None], None]) -> Wire:
        return await self._opened().link.listen(self._keys.news, heard)

    def _opened(self) -> Caller:
        if self._caller is None:
            raise Closed("the store is not open")
        return self._caller
