"""How a right driver is made wrong: a wrapper that changes one thing on the way in or out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

from msgspec.structs import replace

from hive_state_conformance.harness import Harness, driver_of
from hive_state_core.features import Features
from hive_state_core.model import EntityRef, Image, ReadRef, Topic
from hive_state_core.spi import (
    NO_NOTES,
    Batch,
    Check,
    Claimed,
    ClaimRequest,
    Control,
    Digest,
    Driver,
    ImageRow,
    Kind,
    Mark,
    Notes,
    Op,
    Outcome,
    Page,
    Pouring,
    Replication,
    Reply,
    Retention,
    Scan,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    Settling,
    Span,
    Stats,
    StreamPage,
    StreamRead,
    Swept,
)
from hive_state_core.store import Store


class Mutant:
    """Forwards everything to the driver `right`. A subclass overrides one thing, by mistake as it were."""

    killed_by: ClassVar[tuple[str, ...]]
    """Ids of checks that must each find it out."""

    def __init__(self, right: Driver, memory: dict[Any, Any]) -> None:
        self.right = right
        self.memory = memory
        """Shared by all drivers of one database."""

    @property
    def features(self) -> Features:
        return self.right.features

    @property
    def namespace(self) -> str:
        return self.right.namespace

    async def open(self) -> None:
        await self.right.open()

    async def close(self) -> None:
        await self.right.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        return await self.right.schema(action)

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await self.right.read(refs, fresh)
        return replace(reply, results=[image and self.image(image) for image in reply.results])

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        page = await self.right.scan(query, fresh)
        return replace(page, items=[self.image(image) for image in page.items])

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        return await self.right.commit([await self.batch(batch) for batch in batches], trip_id)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        return await self.right.claim([self.request(request) for request in requests], trip_id)

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        return await self.right.outcome(trip_id)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self.right.stream(reads, fresh)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self.right.wait(topics, timeout)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self.right.sweep(limit, retention)

    async def stats(self) -> Stats:
        return await self.right.stats()

    # The replication port

    @property
    def port(self) -> Replication:
        return cast(Replication, self.right)

    @property
    def pouring(self) -> Pouring:
        return cast(Pouring, self.right)

    @property
    def settling(self) -> Settling:
        return cast(Settling, self.right)

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        return await self.port.control(expect, change)

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await self.port.marks(sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self.port.clear(sink, marks)

    async def settle(self, versions: Sequence[int]) -> None:
        await self.settling.settle(versions)

    async def warm(self) -> None:
        """Nothing is cold here."""

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await self.port.images(refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await self.port.export(span)

    async def digest(self, span: Span) -> Digest:
        return await self.port.digest(span)

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self.port.load(images, notes, expect)

    async def rows(self, span: Span) -> Sequence[ImageRow]:
        return await self.pouring.rows(span)

    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self.pouring.pour(kind, rows, notes, expect)

    async def notes(self) -> Mapping[str, bytes]:
        return await self.port.notes()

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self.port.note(changes, expect)

    # What most mutants override

    def image(self, image: ScanImage) -> ScanImage:
        """On its way out."""
        return image

    def request(self, request: ClaimRequest) -> ClaimRequest:
        """On its way in; so are the next three."""
        return request

    async def batch(self, batch: Batch) -> Batch:
        ops = tuple([await self.op(op) for op in batch.ops])
        return replace(batch, ops=ops, checks=self.checks(batch.checks))

    async def op(self, op: Op) -> Op:
        return op

    def checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return checks


MUTANTS: dict[str, type[Mutant]] = {}


def mutant(*killed_by: str) -> Callable[[type[Mutant]], type[Mutant]]:
    """Put a mutant on the list, under the name of its class."""

    def register(kind: type[Mutant]) -> type[Mutant]:
        kind.killed_by = killed_by
        MUTANTS[kind.__name__] = kind
        return kind

    return register


class MutantHarness(Harness):
    """The backend of another harness, with a mutant in the place of its driver."""

    def __init__(self, right: Harness, kind: type[Mutant]) -> None:
        self._right = right
        self._kind = kind
        self._memory: dict[Any, Any] = {}
        self.name = f"{right.name} as {kind.__name__}"

    def connect(self, namespace: str) -> Store:
        store = self._right.connect(namespace)
        driver = cast(Driver, self._kind(driver_of(store), self._memory))
        return Store(driver, backend=store.backend, url=store.url)
