"""The SQLite driver: one writing and one reading connection, each on a thread of its own."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, TypeVarTuple

from msgspec.structs import replace

from hive_state_core.errors import AccessDenied, Closed, ConfigError, HiveStateError, Unsupported
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.images import add, key_of
from hive_state_core.model import EntityRef, Image, ReadRef, Topic
from hive_state_core.spi import (
    NO_NOTES,
    Batch,
    Claimed,
    ClaimRequest,
    Control,
    Digest,
    Finding,
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
from hive_state_sqlite import (
    alone,
    claiming,
    committing,
    controlling,
    examining,
    exporting,
    loading,
    reading,
    scanning,
    schema,
    sweeping,
)
from hive_state_sqlite.connection import (
    OLDEST_SQLITE,
    SCHEMA_VERSION,
    native_errors,
    translate,
    translate_os,
)
from hive_state_sqlite.hopping import Hop, HopConnection, connect
from hive_state_sqlite.notes import note, read_notes
from hive_state_sqlite.options import Options
from hive_state_sqlite.topics import topics_of
from hive_state_sqlite.trip import Alone, Ended, Trip, Writer, last_counter
from hive_state_sqlite.turnstile import SUPPORTED, Turnstile, wal_reset_safe
from hive_state_sqlite.waiting import Listener

Answer = TypeVar("Answer")
Item = TypeVar("Item")
What = TypeVarTuple("What")

CACHE_KIB = 64 * 1024
"""Page cache of a connection, at most; SQLite's own default is 2 MiB."""

DIGEST_PAGE = 2000
"""Images that are digested in one turn of the reading thread."""

log = logging.getLogger("hive_state.sqlite")


class SqliteDriver:
    """See `hive_state_core.spi.Driver`."""

    def __init__(self, options: Options, namespace: str) -> None:
        self._options = options
        self._path = options.path
        self._namespace = namespace
        self._ns = 0
        self._writing: HopConnection | None = None
        self._reading: HopConnection | None = None
        self._turnstile: Turnstile | None = None
        self._writer: Writer | None = None
        self._listener = Listener(self._counter)
        self._features = Features(
            durability=Durability.FSYNC if options.synchronous == "FULL" else Durability.PROCESS,
            sharing=Sharing.HOST,
            consistency=Consistency.LINEARIZABLE,
            wake=Wake.POLL,
            clock=Clock.HOST,
            facilities=frozenset(Facility) - {Facility.OUTCOMES},
        )

    @property
    def features(self) -> Features:
        return self._features

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed")
        try:
            with native_errors(self._path, "open"):
                await self._connect()
        except BaseException:
            await self.close()
            raise
        for warning in self._wal_reset():
            log.log(logging.INFO if SUPPORTED else logging.WARNING, "%s: %s", self._path, warning)

    async def close(self) -> None:
        await self._listener.close()
        for connection in (self._reading, self._writing):
            if connection is not None:
                await connection.close()
        self._reading = self._writing = None
        if self._turnstile is not None:
            self._turnstile.close()
            self._turnstile = None

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        with native_errors(self._path, f"{action} the schema of"):
            if self._writing is None:
                return await self._schema_unopened(action)
            if action == "drop":
                writer, ns = _opened(self._writer), self._ns
                await self._writing.hop(lambda db: writer.fenced(lambda: schema.drop_namespace(db, ns)))
            return SchemaInfo(found=SCHEMA_VERSION, wanted=SCHEMA_VERSION)

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return await self._read(reading.read, self._ns, refs)

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await self._read(scanning.scan, self._ns, query)

    async def stats(self) -> Stats:
        about = {"path": self._path, "synchronous": self._options.synchronous}
        said = self._wal_reset()
        found = await self._read(reading.stats, self._ns, about)
        return replace(found, **{"notes" if SUPPORTED else "warnings": said})

    async def examine(self) -> list[Finding]:
        mode = self._options.synchronous
        return examining.examine(self._path, mode, sqlite3.sqlite_version, self._wal_reset())

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        if len(batches) == 1:
            (batch,) = batches
            hop = self._hop_alone(alone.commit, committing.commit, batch, len(batch.ops))
        else:
            orders = sum([len(batch.ops) for batch in batches])  # if all of them were Enqueues
            hop = self._hop(committing.commit, batches, orders=orders)
        try:
            control, changed, outcomes = await hop
        except (sqlite3.Error, OSError) as error:
            raise self._unwritten(error) from error
        if changed:
            self._listener.happened(topics_of(batches), control.counter)
        return Reply(control.epoch, control.clock, outcomes)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        if len(requests) == 1:
            hop = self._hop_alone(alone.claim, claiming.claim, requests[0])
        else:
            hop = self._hop(claiming.claim, requests)
        try:
            control, changed, claimed = await hop
        except (sqlite3.Error, OSError) as error:
            raise self._unwritten(error) from error
        if changed:
            self._listener.happened((), control.counter)
        return Reply(control.epoch, control.clock, claimed)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        try:
            control, changed, swept = await self._hop(sweeping.sweep, limit, retention)
        except (sqlite3.Error, OSError) as error:
            raise self._unwritten(error) from error
        if changed:
            self._listener.happened((), control.counter)
        return swept

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._listener.wait(topics, timeout)

    async def outcome(self, trip_id: str) -> None:
        raise Unsupported("a trip on SQLite always tells its end", feature=Facility.OUTCOMES.value)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self._read(reading.stream, self._ns, reads)

    # -- the replication port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is None or change is None:
            return await self._read(controlling.read_control, self._ns)
        return await self._alone(controlling.change_control, self._ns, expect, change)

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await self._read(controlling.marks, self._ns, sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self._alone(controlling.clear, self._ns, sink, marks)

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await self._read(exporting.images, self._ns, refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await self._read(exporting.export, self._ns, span)

    async def digest(self, span: Span) -> Digest:
        """Page by page, so that other reads get their turns."""
        total, page = Digest(0, 0), replace(span, limit=DIGEST_PAGE)
        while True:
            found, last = await self._read(exporting.digest, self._ns, page)
            if last is None:
                return total
            total = add(total, found)
            page = replace(page, after=key_of(last))

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self._alone(loading.load, self._ns, images, notes, expect)

    async def rows(self, span: Span) -> Sequence[ImageRow]:
        return await self._read(exporting.export_rows, self._ns, span)

    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self._alone(loading.pour, self._ns, kind, rows, notes, expect)

    async def notes(self) -> Mapping[str, bytes]:
        return await self._read(read_notes, self._ns)

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self._alone(note, self._ns, changes, expect)

    # -- connections

    async def _connect(self) -> None:
        schema.create_file(self._path)
        self._writing = await connect(self._path)
        await self._writing.hop(self._set_up_writing)
        self._reading = await connect(self._path)
        await self._reading.hop(self._set_up_reading)
        self._listener.start(await self._counter())

    def _set_up_writing(self, db: sqlite3.Connection) -> None:
        options = self._options
        db.execute(f"PRAGMA busy_timeout = {int(options.timeout * 1000)}")
        schema.found_version(db, self._path)  # before anything is changed in a file that is not ours
        if options.max_page_count is not None:
            db.execute(f"PRAGMA max_page_count = {options.max_page_count}")
        self._turnstile = Turnstile(self._path)
        self._writer = Writer(self._path, self._turnstile, options.timeout)
        self._writer.fenced(lambda: self._set_up_fenced(db))
        alone.prepare(db)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
        db.execute(f"PRAGMA synchronous = {options.synchronous}")

    def _set_up_fenced(self, db: sqlite3.Connection) -> None:
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise AccessDenied(f"{self._path} cannot be put into WAL mode; is it on a network share?")
        schema.ensure(db, self._path)
        self._ns = schema.namespace_id(db, self._namespace)

    def _set_up_reading(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA busy_timeout = {int(self._options.timeout * 1000)}")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
        db.execute("PRAGMA query_only = 1")

    async def _schema_unopened(self, action: SchemaAction) -> SchemaInfo:
        """Before `open`: look at the file as it is, or open for a moment."""
        if action == "inspect":
            found = await self._found_version() if schema.exists(self._path) else None
            return SchemaInfo(found=found, wanted=SCHEMA_VERSION, steps=schema.steps(found))
        try:
            await self._connect()
            return await self.schema(action)
        finally:
            await self.close()

    async def _found_version(self) -> int | None:
        connection = await connect(self._path)
        try:
            return await connection.hop(schema.found_version, self._path)
        finally:
            await connection.close()

    async def _read(self, work: Callable[[sqlite3.Connection, *What], Answer], *what: *What) -> Answer:
        try:
            return await _opened(self._reading).hop(work, *what)
        except sqlite3.Error as error:
            raise translate(error, self._path, "read") from error

    def _hop(
        self, work: Callable[[Trip, *What], Answer], *what: *What, orders: int = 0
    ) -> Hop[Ended[Answer]]:
        """A trip. `orders`: how many it may give out."""
        writing, run = _opened(self._writing), _opened(self._writer).run
        return writing.hop(run, self._ns, orders, work, *what)

    def _hop_alone(
        self,
        alone: Alone[Item, Answer],
        work: Callable[[Trip, Sequence[Item]], Sequence[Answer]],
        item: Item,
        orders: int = 0,
    ) -> Hop[Ended[Sequence[Answer]]]:
        """A trip of one item."""
        writing, writer = self._writing, self._writer
        if writing is None or writer is None:
            raise Closed("the store is not open")
        return writing.hop_then(writer.leave, writer.run_alone, self._ns, orders, alone, work, item)

    async def _alone(self, work: Callable[[sqlite3.Connection, *What], Answer], *what: *What) -> Answer:
        writing, alone = _opened(self._writing), _opened(self._writer).alone
        try:
            return await writing.hop(alone, work, *what)
        except (sqlite3.Error, OSError) as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: sqlite3.Error | OSError) -> HiveStateError:
        if isinstance(error, OSError):  # of the turnstile's side files
            return translate_os(error, self._path, "write to")
        return translate(error, self._path, "write to")

    async def _counter(self) -> int:
        """Of the last trip that anybody committed."""

        return await self._read(last_counter, self._ns)

    def _wal_reset(self) -> tuple[str, ...]:
        """What is to be said of it, if this SQLite has the bug."""
        if wal_reset_safe(sqlite3.sqlite_version_info):
            return ()
        fence = (
            "checkpoints are fenced between hive-state processes"
            if SUPPORTED
            else "this platform has no fence"
        )
        warning = (
            f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug, which may corrupt a file that several"
            f" processes write; {fence}; let no other program write this file, or upgrade to SQLite 3.51.3"
        )
        return (warning,)


def _opened(part: Answer | None) -> Answer:
    if part is None:
        raise Closed("the store is not open")
    return part
