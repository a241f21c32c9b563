"""The driver of `legacy-sqlite:///FILE`: a source, and nothing else.

What is read is the file as it was when the store was opened, and no call writes. Once the file is followed,
what is read is the store beside it (`beside`), which a live migration moves from and back to. None of the
calls that a hive is worked with is ever offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import time_ns
from typing import Any, NoReturn, TypeVar

from msgspec.structs import replace

from hive_state_core.errors import Conflict, Internal, Unsupported
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.images import digest_of
from hive_state_core.model import EntityRef, Image, ReadRef, RecordRef
from hive_state_core.spi import (
    NO_NOTES,
    Control,
    ControlState,
    Digest,
    Mark,
    Notes,
    Page,
    Reply,
    Scan,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    Span,
    Stats,
    StreamPage,
    StreamRead,
)
from hive_state_legacy.beginning import alone, beside, give_name, is_followed, unfinished
from hive_state_legacy.beside import Beside, clear
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


PING = RecordRef("hive:ping", "ping")
"""What is read to be told the time."""

FOLLOWED = replace(FEATURES, facilities=FEATURES.facilities | {Facility.TASKS, Facility.STREAMS})
"""While it is followed, what it holds is read beside it."""


class LegacyDriver:
    """See `hive_state_core.spi.Driver`, `Replication`, `Foreign` and `Warming`."""

    def __init__(self, options: Options, namespace: str) -> None:
        self._namespace = namespace
        self._options = options
        self._path = options.path
        self._reader: Reader | None = None
        self._exporting: Exporting | None = None
        self._beside: Beside | None = None

    @property
    def features(self) -> Features:
        return FEATURES if self._beside is None else FOLLOWED

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        if is_followed(self._path):
            await self._open_beside()
            return
        self._reader = Reader(self._options)
        await self._reader.open()

    async def _open_beside(self) -> None:
        ours = Beside(self._options, beside(self._path))
        try:
            await ours.open()
        except BaseException:
            await ours.close()
            raise
        ours.start()
        self._beside = ours

    async def close(self) -> None:
        reader, ours = self._reader, self._beside
        self._reader = self._beside = None
        if ours is not None:
            await ours.close()
        if reader is not None:
            await reader.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        if action != "inspect":
            self._refuse()
        return SchemaInfo(found=0, wanted=0)

    # -- a source that is followed

    async def follow(self) -> None:
        if self._beside is not None:
            return
        with alone(self._path) as folder:
            if not is_followed(self._path):  # another process was faster
                await self._begin(folder)
        await self.close()
        await self.open()

    async def _begin(self, folder: Path) -> None:
        ours = Beside(self._options, folder)
        try:
            await ours.open()
            await ours.begin(self._first())
        finally:
            await ours.close()
        give_name(self._path)

    async def leave(self) -> None:
        ours, self._beside = self._beside, None
        if ours is not None:
            await ours.end()
        elif unfinished(self._path).exists():  # one that was begun, and never got so far as to be of use
            await clear(self._options)

    async def require_over(self) -> None:
        """Raises Conflict while the hive lives in the file, or may come back to it."""
        if self._beside is not None and not await self._beside.is_over():
            raise Conflict(
                f"the hive of {self._path} lives there, or may still come back: `hive-state migrate complete`"
                " ends that, or `rollback` and `cancel` bring it back",
                key=self._path,
            )

    async def release(self) -> None:
        """The file is that of an original hive again, and nothing else; closes this. Raises as
        `require_over`."""
        await self.require_over()
        await self.close()
        await clear(self._options)

    def _first(self) -> Control:
        """The control row, before there is one."""
        return Control(
            store_id=blake2b(self._path.encode(errors="surrogateescape"), digest_size=16).hexdigest(),
            peer=None,
            state=ControlState.OPEN,
            term=0,
            epoch=1,
            sinks=frozenset(),
            version=TERM - 1,
        )

    # -- the port of a source

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if self._beside is not None:
            return await self._beside.control(expect, change)
        if change is not None:
            self._refuse()
        return self._first()

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        if self._beside is not None:
            return await self._beside.port.images(refs)
        return await self._run(lambda exporting: exporting.images(refs))

    async def export(self, span: Span) -> Sequence[Image]:
        if self._beside is not None:
            return await self._beside.port.export(span)
        return await self._run(lambda exporting: exporting.page(span))

    async def digest(self, span: Span) -> Digest:
        if self._beside is not None:
            return await self._beside.port.digest(span)
        return await self._run(lambda exporting: digest_of(exporting.walk(span)))

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return () if self._beside is None else await self._beside.marks(sink, limit)

    async def notes(self) -> Mapping[str, bytes]:
        return {} if self._beside is None else await self._beside.notes()

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self._followed().clear(sink, marks)

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self._followed().load(images, notes, expect)

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self._followed().port.note(changes, expect)

    def _followed(self) -> Beside:
        if self._beside is None:
            self._refuse()
        return self._beside

    async def _run(self, work: Callable[[Exporting], T]) -> T:
        reader = self._reader
        if reader is None:
            raise Internal("the file is not open")

        def on_thread() -> T:
            self._exporting = self._exporting or Exporting(reader.source)
            return work(self._exporting)

        return await reader.run(on_thread)

    async def warm(self) -> None:
        """A hive may come back: see `Beside.warm`."""
        if self._beside is not None:
            await self._beside.warm()

    # -- what those who move it look at

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        if self._beside is not None:
            return await self._beside.driver.read(refs, fresh)
        if list(refs) != [PING]:
            self._refuse()
        return Reply(1, time_ns() // 1_000_000, [None])

    async def stats(self) -> Stats:
        if self._beside is not None:
            return await self._beside.driver.stats()
        return await self._run(lambda exporting: exporting.stats())

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await self._followed().driver.scan(query, fresh)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self._followed().driver.stream(reads, fresh)

    # -- what a hive is worked with

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

    def _refuse(self) -> NoReturn:
        raise Unsupported(
            f"{self._path} is the file of an original hive, which is only read from; bring it into a store by"
            " `hive-state import-legacy FILE --to STORE`",
            feature="a store of hive-state",
        )
