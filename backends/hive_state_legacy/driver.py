"""The driver of `legacy-sqlite:///FILE`: a source, and nothing else.

What is read is the file as it was when the store was opened. Of the replication port there is what a source
needs; no call writes, and none of those that a hive is worked with is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NoReturn, TypeVar

from hive_state_core.errors import Unsupported
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.images import digest_of
from hive_state_core.model import EntityRef, Image
from hive_state_core.spi import (
    NO_NOTES,
    Control,
    ControlState,
    Digest,
    Mark,
    Notes,
    SchemaAction,
    SchemaInfo,
    Span,
)
from hive_state_legacy.exporting import Exporting
from hive_state_legacy.mapping import TERM
from hive_state_legacy.options import Options
from hive_state_legacy.reader import Reader

T = TypeVar("T")

FEATURES = Features(
    durability=Durability.FSYNC,
    sharing=Sharing.HOST,
    consistency=Consistency.LINEARIZABLE,
    wake=Wake.NONE,
    clock=Clock.HOST,
    facilities=frozenset({Facility.REPLICATION}),
)


class LegacyDriver:
    """See `hive_state_core.spi.Driver` and `Replication`."""

    def __init__(self, options: Options, namespace: str) -> None:
        self._namespace = namespace
        self._path = options.path
        self._reader = Reader(options)
        self._exporting: Exporting | None = None

    @property
    def features(self) -> Features:
        return FEATURES

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        await self._reader.open()

    async def close(self) -> None:
        await self._reader.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        if action != "inspect":
            self._refuse()
        return SchemaInfo(found=0, wanted=0)

    # -- the port of a source

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        """Its hive may be at work, and knows nothing of a seal."""
        if change is not None:
            self._refuse()
        return Control(
            store_id=blake2b(self._path.encode(errors="surrogateescape"), digest_size=16).hexdigest(),
            peer=None,
            state=ControlState.OPEN,
            term=0,
            epoch=1,
            sinks=frozenset(),
            version=TERM - 1,
        )

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await self._run(lambda exporting: exporting.images(refs))

    async def export(self, span: Span) -> Sequence[Image]:
        return await self._run(lambda exporting: exporting.page(span))

    async def digest(self, span: Span) -> Digest:
        return await self._run(lambda exporting: digest_of(exporting.walk(span)))

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return ()

    async def notes(self) -> Mapping[str, bytes]:
        return {}

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        self._refuse()

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        self._refuse()

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        self._refuse()

    async def _run(self, work: Callable[[Exporting], T]) -> T:
        def on_thread() -> T:
            self._exporting = self._exporting or Exporting(self._reader.source)
            return work(self._exporting)

        return await self._reader.run(on_thread)

    # -- what a hive is worked with

    async def read(self, refs: Any, fresh: bool = False) -> NoReturn:
        self._refuse()

    async def scan(self, query: Any, fresh: bool = False) -> NoReturn:
        self._refuse()

    async def stream(self, reads: Any, fresh: bool = False) -> NoReturn:
        self._refuse()

    async def commit(self, batches: Any, trip_id: str) -> NoReturn:
        self._refuse()

    async def claim(self, requests: Any, trip_id: str) -> NoReturn:
        self._refuse()

    async def outcome(self, trip_id: str) -> NoReturn:
        self._refuse()

    async def wait(self, topics: Any, timeout: int) -> NoReturn:
        self._refuse()

    async def sweep(self, limit: int, retention: Any) -> NoReturn:
        self._refuse()

    async def stats(self) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Unsupported(
            f"{self._path} is the file of an original hive, which is only read from; bring it into a store by"
            " `hive-state import-legacy FILE --to STORE`",
            feature="a store of hive-state",
        )
