"""`KVDriver`: a whole driver over four primitives of an ordered key-value store."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from random import random
from time import monotonic
from typing import Final, NoReturn, TypeVar

from hive_state_core.errors import CorruptData, SchemaMismatch, Unavailable, Unsupported
from hive_state_core.features import Facility, Features, Sharing, Wake
from hive_state_core.image_rows import image_of, row_of
from hive_state_core.kv import claiming, deciding, following, keeping, reading, replicating
from hive_state_core.kv.bell import Bell
from hive_state_core.kv.entities import Row, Space, Torn
from hive_state_core.kv.keys import HEAD, encode, key_of
from hive_state_core.kv.trip import SCHEMA, Trip, new_head, read_head
from hive_state_core.model import EntityRef, Image, ReadRef, Topic
from hive_state_core.spi import (
    NO_NOTES,
    Batch,
    Claimed,
    ClaimRequest,
    Control,
    Digest,
    ImageRow,
    Kind,
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

T = TypeVar("T")

FACILITIES: Final = frozenset(
    {
        Facility.TASKS,
        Facility.DEPENDENCIES,
        Facility.REQUIREMENTS,
        Facility.STREAMS,
        Facility.IMPORT,
        Facility.REPLICATION,
    }
)
"""What every KVDriver offers, to be declared in its features."""


class KVDriver(ABC):
    """A backend in a hundred lines: implement `get`, `range`, `swap` and `now`; the rest is here.

    It is slow and correct, and the reference that other drivers are compared with. A write trip reads what
    it needs, decides, and swaps all its writes in, guarded by the one control entry of the namespace; if
    another trip was faster, it starts anew. So trips are serial, and `swap` is all that must be atomic.

    Keys and values are bytes, ordered as bytes are; all keys begin with the namespace and a NUL. Primitives
    raise only the errors of `hive_state_core.errors`: Unavailable if nothing was written, and `swap` raises
    Indeterminate if it cannot find out whether it wrote. `ring` should be called for news that comes from
    other processes, if `features.wake` is PUSH.
    """

    patience: float = 10.0
    """Seconds for which a trip is begun anew before it is given up as Unavailable."""

    poll: float = 0.1
    """Seconds between two looks for news with Wake.POLL."""

    def __init__(self, namespace: str, features: Features, bell: Bell | None = None) -> None:
        self._namespace = namespace
        self._features = features
        self._bell = bell or Bell()
        self._turn = asyncio.Lock()  # among this driver's own trips, so that they do not lose swaps
        self._connected = False

    # --- the primitives

    @abstractmethod
    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The values of these keys, None where absent: all from one snapshot, the latest."""

    @abstractmethod
    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        """(key, value) for start <= key < stop in byte order, or in the reverse of it, from one snapshot,
        the latest. At most `limit` of them (None = all), and fewer only if there are no more."""

    @abstractmethod
    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        """If the value of `guard` is `expected` (None = absent), apply all `writes` (None = remove).

        Comparing and writing is one atomic step. True: it was done, as durably as the features say. False:
        the guard differs, nothing was written. `writes` may be empty: then it says whether the guard holds.
        """

    @abstractmethod
    async def now(self) -> int:
        """The store's clock, an instant. It may jump."""

    async def connect(self) -> None:  # noqa: B027  a hook, not a duty
        """Called before the first primitive. After an error nothing may stay open."""

    async def disconnect(self) -> None:  # noqa: B027
        """Give back what `connect` took."""

    async def _now(self) -> int:
        await asyncio.sleep(0)  # primitives may never wait: a loop of calls lets others have their turn
        return await self.now()

    # --- life

    @property
    def features(self) -> Features:
        return self._features

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        """An embedded store is created if it is empty, one behind a network never."""
        await self._connect()
        try:
            await self._require_schema(create=self._features.sharing < Sharing.NETWORK)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._connected:
            self._connected = False
            await self.disconnect()

    async def _connect(self) -> None:
        if not self._connected:
            await self.connect()
            self._connected = True

    async def _require_schema(self, create: bool) -> None:
        info = await self._upgrade() if create else await self._inspect()
        if info.found != SCHEMA:
            raise SchemaMismatch(
                f"namespace {self._namespace!r} has schema {info.found}, this version needs {SCHEMA}",
                found=info.found,
                expected=SCHEMA,
            )

    # --- schema: the control entry is there or it is not

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        was_connected = self._connected
        await self._connect()
        try:
            if action == "drop":
                return await self._drop()
            return await (self._upgrade() if action == "upgrade" else self._inspect())
        finally:
            if not was_connected:
                await self.close()

    async def _inspect(self) -> SchemaInfo:
        data = (await self._space().load([HEAD]))[0]
        if data is None:
            return SchemaInfo(found=None, wanted=SCHEMA, steps=("create the namespace",))
        return SchemaInfo(found=read_head(data).schema, wanted=SCHEMA)

    async def _upgrade(self) -> SchemaInfo:
        """A lost swap means that somebody else created it at the same time."""
        created = await self._space().swap(HEAD, None, {HEAD: encode(new_head())})
        info = await self._inspect()
        return SchemaInfo(
            found=info.found, wanted=SCHEMA, steps=("created the namespace",) if created else ()
        )

    async def _drop(self) -> SchemaInfo:
        """One swap, so whoever creates the namespace at the same time has it whole."""

        async def once() -> SchemaInfo | None:
            space = self._space()
            found = (await space.load([HEAD]))[0]
            rows = await space.range(b"", b"\xff")
            dropped = await space.swap(HEAD, found, {key: None for key, _ in rows})
            return (
                SchemaInfo(found=None, wanted=SCHEMA, steps=("removed the namespace",)) if dropped else None
            )

        async with self._turn:
            return await self._again(once)

    # --- reads

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        now = await self._now()
        found = await self._space().load([HEAD, *map(key_of, refs)])
        head = read_head(found[0])
        at = max(now, head.clock)
        images = [reading.image_of(ref, data, at) for ref, data in zip(refs, found[1:], strict=True)]
        return Reply(head.control.epoch, at, images)

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await reading.scan(self._space(), query, await self._now())

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        async def once() -> Reply[StreamPage] | None:
            return await following.pages(self._space(), reads, await self._now())

        return await self._again(once)

    async def stats(self) -> Stats:
        return (await self._trip(keeping.stats))[1]

    # --- write trips

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        async def decide(trip: Trip) -> Sequence[Outcome]:
            trip.require_open()
            await trip.space.load(deciding.named(batches))
            return [await deciding.decide(trip, batch) for batch in batches]

        return await self._reply(decide)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        async def decide(trip: Trip) -> Sequence[Claimed]:
            trip.require_open()
            return await claiming.claim(trip, requests)

        return await self._reply(decide)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        async def decide(trip: Trip) -> Swept:
            trip.require_open()
            return await keeping.Sweep(trip, limit, retention).run()

        return (await self._trip(decide))[1]

    async def _reply(self, decide: Callable[[Trip], Awaitable[Sequence[T]]]) -> Reply[T]:
        trip, results = await self._trip(decide)
        return Reply(trip.head.control.epoch, trip.at, results)

    async def _trip(self, decide: Callable[[Trip], Awaitable[T]]) -> tuple[Trip, T]:
        """Decide on a snapshot, and make it so. A trip that changes nothing only verifies the snapshot."""
        return await self._attempts(decide, Trip.settle)

    async def _port(self, decide: Callable[[Trip], Awaitable[T]]) -> T:
        """As `_trip`, of the replication port: what it writes has versions already, or needs none."""
        return (await self._attempts(decide, Trip.swap))[1]

    async def _attempts(
        self, decide: Callable[[Trip], Awaitable[T]], settle: Callable[[Trip], Awaitable[bool]]
    ) -> tuple[Trip, T]:
        async def once() -> tuple[Trip, T] | None:
            now = await self._now()
            space = self._space()
            found = (await space.load([HEAD]))[0]
            trip = Trip(space, found, now)
            try:
                decided = await decide(trip)
            except Torn as torn:
                if await space.swap(HEAD, found, {}):
                    raise CorruptData("an entry names something that is not in the store", raw=b"") from torn
                return None
            if not await settle(trip):
                return None
            self.ring(trip.after.topics)
            return trip, decided

        async with self._turn:
            return await self._again(once)

    async def _again(self, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Until it comes to something. Raises Unavailable if others are always faster."""
        deadline = monotonic() + self.patience
        while (done := await attempt()) is None:
            if monotonic() > deadline:
                raise Unavailable(f"other writers were faster for {self.patience} s; try again later")
            await asyncio.sleep(random() * 0.01)
        return done

    def _space(self) -> Space:
        return Space(self, self._namespace)

    # --- the replication port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is None or change is None:
            return replicating.control_of(read_head((await self._space().load([HEAD]))[0]))
        return await self._port(lambda trip: replicating.change_control(trip, expect, change))

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await replicating.marks(self._space(), sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self._port(lambda trip: replicating.clear(trip.after, sink, marks))

    async def settle(self, versions: Sequence[int]) -> None:
        await self._port(lambda trip: replicating.settle(trip.after, frozenset(versions)))

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await replicating.images(self._space(), refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await replicating.export(self._space(), span)

    async def digest(self, span: Span) -> Digest:
        return await replicating.digest(self._space(), span)

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self._port(lambda trip: replicating.load(trip, images, notes, expect))

    async def rows(self, span: Span) -> Sequence[ImageRow]:
        return [row_of(image) for image in await self.export(span)]

    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self.load([image_of(kind, row) for row in rows], notes, expect)

    async def notes(self) -> dict[str, bytes]:
        return await replicating.notes(self._space())

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self._port(lambda trip: replicating.note(trip, changes, expect))

    # --- hints

    def ring(self, topics: Collection[Topic]) -> None:
        """Wake those who wait in this process. It may be called from any thread."""
        if topics:
            self._bell.ring(topics)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        if self._features.wake is Wake.POLL:
            return await self._poll(topics, monotonic() + timeout / 1000)
        return await self._bell.wait(topics, timeout / 1000)

    async def _poll(self, topics: frozenset[Topic], deadline: float) -> frozenset[Topic]:
        """If anything was written elsewhere, it may have been any of the topics."""
        before = await self._space().load([HEAD])
        while (left := deadline - monotonic()) > 0:
            heard = await self._bell.wait(topics, min(left, self.poll))
            if heard:
                return heard
            if await self._space().load([HEAD]) != before:
                return topics
        return frozenset()

    # --- not offered

    async def outcome(self, trip_id: str) -> NoReturn:
        raise Unsupported("this store always knows how its trips ended", feature=Facility.OUTCOMES.value)
