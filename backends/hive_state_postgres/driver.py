"""The PostgreSQL driver: every trip is one call of a function in the server, in a transaction of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import msgspec

from hive_state_core.errors import Closed, Indeterminate, Unavailable
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.images import add, digest_of, key_of
from hive_state_core.model import EntityRef, Image, ReadRef, Topic
from hive_state_core.spi import (
    NO_NOTES,
    Batch,
    Claimed,
    ClaimedTasks,
    ClaimRequest,
    ClaimTasks,
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
from hive_state_core.topics import hashes_of
from hive_state_postgres import (
    controlling,
    examining,
    exporting,
    loading,
    pouring,
    reading,
    rehearsing,
    replies,
    scanning,
    schema,
    telling,
)
from hive_state_postgres.alone import ONE_TASK, call_alone, claims_one
from hive_state_postgres.claiming import claim_arguments
from hive_state_postgres.dialing import Connection, Dialer
from hive_state_postgres.encoding import Encoded
from hive_state_postgres.errors import AGAIN, ALONE, READ_ONLY, SCHEMA_VERSION, call_error, sqlstate
from hive_state_postgres.options import Options
from hive_state_postgres.pool import Pool
from hive_state_postgres.rows import task_image
from hive_state_postgres.statements import Statements
from hive_state_postgres.waiting import Listener

Answer = TypeVar("Answer")

DIGEST_PAGE = 2000
"""Images that are read and digested at once."""

CAREFUL_TRIPS = 100
"""That lock what they are about before they write it, after one that did not was overtaken."""

_FACILITIES = frozenset(
    {
        Facility.TASKS,
        Facility.STREAMS,
        Facility.DEPENDENCIES,
        Facility.REQUIREMENTS,
        Facility.OUTCOMES,
        Facility.IMPORT,
        Facility.REPLICATION,
    }
)


class PostgresDriver:
    """See `hive_state_core.spi.Driver`."""

    def __init__(self, options: Options, namespace: str) -> None:
        self._options = options
        self._namespace = namespace
        self._ns = 0
        self._careful = 0  # trips that are still to lock before they write
        self._statements = Statements(options.schema)
        self._dialer = Dialer(options)
        self._pool = Pool(options, self._dialer)
        self._channel = f"hs_{options.schema}"
        self._listener = Listener(lambda: self._ns, self._listen, self._notify, self._counter)
        self._features = Features(
            durability=Durability.FSYNC,
            sharing=Sharing.NETWORK,
            consistency=Consistency.LINEARIZABLE,
            wake=Wake.POLL if options.pgbouncer else Wake.PUSH,
            clock=Clock.SERVER,
            facilities=_FACILITIES,
            trips=2,
        )

    @property
    def features(self) -> Features:
        return self._features

    @property
    def namespace(self) -> str:
        return self._namespace

    async def open(self) -> None:
        try:
            await self._pool.open()
            self._ns = await self._pool.run(
                lambda db: schema.namespace_id(db, self._options, self._statements, self._namespace),
                writes=False,
            )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        try:
            await self._listener.close()
        finally:
            await self._pool.close()
        self._ns = 0

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        """Over a connection of its own, without the pool's time-outs: `upgrade` may take long."""
        db = await self._dialer.connect()
        try:
            return await self._schema(db, action)
        except asyncpg.PostgresError as error:
            raise call_error(error, self._options.place, writes=True) from error
        finally:
            db.terminate()

    async def examine(self) -> list[Finding]:
        db = await self._dialer.connect()
        try:
            return await examining.examine(db, self._statements, self._options)
        except asyncpg.PostgresError as error:
            raise call_error(error, self._options.place, writes=False) from error
        finally:
            db.terminate()

    async def warm(self) -> None:
        """A connection of PgBouncer's is another one at each call, and cannot learn."""
        self._opened()
        if not self._options.pgbouncer:
            await self._pool.ready(lambda db: rehearsing.rehearse(db, self._statements))

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return await self._read(lambda db: reading.read(db, self._statements, self._ns, refs))

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await self._read(lambda db: scanning.scan(db, self._statements, self._ns, query))

    async def stats(self) -> Stats:
        options = self._options
        about: dict[str, str | int | float | bool | None] = {
            "place": options.place,
            "schema": options.schema,
            "pgbouncer": options.pgbouncer,
        }
        found = await self._read(lambda db: reading.stats(db, self._statements, self._ns, about))
        return msgspec.structs.replace(found, pools={"postgresql": self._pool.stats()})

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        alone = call_alone(batches[0]) if len(batches) == 1 else None
        if alone is not None:
            name, shape, task_ids, arguments = alone
            (row,) = await self._write(self._statements.named(name), self._ns, trip_id, *arguments)
            self._listener.happened(hashes_of(batches))
            return replies.commit_reply(shape, task_ids, row)
        encoded = Encoded(batches)
        head = (self._ns, trip_id, encoded.shape)
        if encoded.flat:
            (row,) = await self._write_flat(head, encoded)
        else:
            (row,) = await self._write_locking(self._statements.commit, head, encoded.arguments(True))
        self._listener.happened(hashes_of(batches))
        return replies.commit_reply(encoded.shape, encoded.task_ids, row)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        if len(requests) == 1 and claims_one(requests[0]):
            found = await self._claim_one(requests[0], trip_id)
            if found is not None:
                return found
        shape, rest = claim_arguments(requests)
        *rows, last = await self._write(self._statements.claim, self._ns, trip_id, shape, *rest)
        slots = [row["slot"] for row in rows]
        results = replies.claimed(shape, rows, slots, last["next_dues"], last["at"])
        return Reply(last["epoch"], last["at"], results)

    async def _claim_one(self, request: ClaimTasks, trip_id: str) -> Reply[Claimed] | None:
        """None: what is to be answered takes the whole of `hive.claim`; nothing was written."""
        statement = self._statements.named("claim_alone")
        arguments = (self._ns, trip_id, ONE_TASK, request.queue, request.worker, request.lease)
        (row,) = await self._write(statement, *arguments)
        if row["id"] is None:
            return None
        return Reply(row["epoch"], row["at"], [ClaimedTasks((task_image(row),))])

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        rows = await self._ask(self._statements.outcome, self._ns, trip_id)
        if not rows:
            return None
        (row,) = rows
        if row["kind"] == "commit":
            return replies.commit_reply(row["shape"], row["ids"] or (), row)
        held, slots = await self._read(lambda db: reading.held(db, self._statements, self._ns, row))
        claimed = replies.claimed(row["shape"], held, slots, row["others"], row["at"])
        return Reply(row["epoch"], row["at"], claimed)

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self._read(lambda db: reading.stream(db, self._statements, self._ns, reads))

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._listener.wait(topics, timeout)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        arguments = (
            self._ns,
            uuid4().hex,
            limit,
            retention.completed,
            retention.cancelled,
            retention.dead,
            retention.tombstones,
            retention.commits,
        )
        (row,) = await self._write(self._statements.sweep, *arguments)
        return Swept(
            records_expired=row["expired"],
            tombstones_removed=row["tombstones"],
            tasks_promoted=row["promoted"],
            leases_expired=row["overdue"],
            tasks_removed=row["removed"],
            commits_removed=row["commits"],
            more=max(row) >= limit,
        )

    # -- the replication port

    async def control(self, expect: int | None = None, change: Control | None = None) -> Control:
        if expect is None or change is None:
            return await self._port(controlling.read_control)
        return await self._port(controlling.change_control, expect, change, writes=True)

    async def marks(self, sink: str, limit: int) -> Sequence[Mark]:
        return await self._port(controlling.marks, sink, limit)

    async def clear(self, sink: str, marks: Sequence[Mark]) -> int:
        return await self._port(controlling.clear, sink, marks, writes=True)

    async def settle(self, versions: Sequence[int]) -> None:
        await self._port(telling.settle, versions, writes=True)

    async def images(self, refs: Sequence[EntityRef]) -> Sequence[Image | None]:
        return await self._port(exporting.images, refs)

    async def export(self, span: Span) -> Sequence[Image]:
        return await self._port(exporting.export, span)

    async def digest(self, span: Span) -> Digest:
        """Page by page, so that the event loop is not held up."""
        total, page = Digest(0, 0), msgspec.structs.replace(span, limit=DIGEST_PAGE)
        while found := await self.export(page):
            total = add(total, digest_of(found))
            page = msgspec.structs.replace(page, after=key_of(found[-1]))
        return total

    async def load(
        self, images: Sequence[Image], notes: Notes = NO_NOTES, expect: Control | None = None
    ) -> int:
        return await self._port(loading.load, images, notes, expect, writes=True)

    async def rows(self, span: Span) -> Sequence[ImageRow]:
        return await self._port(pouring.rows, span)

    async def pour(
        self,
        kind: Kind,
        rows: Sequence[ImageRow],
        notes: Notes = NO_NOTES,
        expect: Control | None = None,
    ) -> int:
        return await self._port(pouring.pour, kind, rows, notes, expect, writes=True)

    async def notes(self) -> Mapping[str, bytes]:
        return await self._port(controlling.read_notes)

    async def note(self, changes: Notes, expect: Notes = NO_NOTES) -> bool:
        return await self._port(controlling.note, changes, expect, writes=True)

    async def _port(
        self, work: Callable[..., Awaitable[Answer]], *arguments: Any, writes: bool = False
    ) -> Answer:
        """Work that has transactions of its own; repeated while others are in its way."""
        self._opened()
        return await self._repeated(
            lambda: self._pool.run(lambda db: work(db, self._statements, self._ns, *arguments), writes=writes)
        )

    # -- calls

    async def _read(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        self._opened()
        return await self._pool.run(work, writes=False)

    async def _write(self, statement: str, *arguments: Any) -> Any:
        """The rows of one call. It is repeated while the server says that all of it was rolled back because
        of what others did meanwhile."""
        self._opened()
        return await self._repeated(
            lambda: self._pool.run(lambda db: db.fetch(statement, *arguments), writes=True)
        )

    async def _repeated(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        until = time.monotonic() + self._options.command_timeout
        pause = 0.001
        while True:
            try:
                return await call()
            except Unavailable as error:
                voided = getattr(error.__cause__, "constraint_name", None) == "trips_pkey"
                again = sqlstate(error) in AGAIN or sqlstate(error) == READ_ONLY  # of a server that was left
                if voided or not again or time.monotonic() > until:
                    raise
            await asyncio.sleep(random.random() * pause)
            pause = min(pause * 2, 0.05)

    async def _write_flat(self, head: tuple[Any, ...], encoded: Encoded) -> Any:
        """A commit of flat batches: carefully, if the like of it lately met others on the same things."""
        self._opened()
        statement = self._statements.commit_flat
        if self._careful == 0 and encoded.may_hurry:
            arguments = (*head, False, *encoded.arguments(careful=False))
            try:
                return await self._pool.run(lambda db: db.fetch(statement, *arguments), writes=True)
            except Unavailable as error:
                if sqlstate(error) not in (*AGAIN, READ_ONLY):
                    raise
            self._careful = CAREFUL_TRIPS
        self._careful = max(0, self._careful - 1)
        return await self._write(statement, *head, True, *encoded.arguments(careful=True))

    async def _write_locking(self, statement: str, head: tuple[Any, ...], rest: tuple[Any, ...]) -> Any:
        """A commit of the general path; alone among the writers if it depends on what no lock can hold."""
        try:
            return await self._write(statement, *head, False, *rest)
        except Unavailable as error:
            if sqlstate(error) != ALONE:
                raise
        return await self._write(statement, *head, True, *rest)

    async def _ask(self, statement: str, *arguments: Any) -> Any:
        """The rows of a call that may be made twice: it is, until the server can be reached again."""
        until = time.monotonic() + self._options.command_timeout
        while True:
            try:
                return await self._write(statement, *arguments)
            except (Unavailable, Indeterminate):
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(0.1)

    def _opened(self) -> None:
        if not self._ns:
            raise Closed("the store is not open")

    async def _schema(self, db: Connection, action: SchemaAction) -> SchemaInfo:
        found = await schema.found_version(db, self._options, self._statements)
        if action == "upgrade":
            if not self._options.pgbouncer:
                await db.execute("SET statement_timeout = 0")
            await schema.upgrade(db, self._options, self._statements)
            return SchemaInfo(found=SCHEMA_VERSION, wanted=SCHEMA_VERSION, steps=schema.info(found).steps)
        if action == "drop" and found is not None:
            await schema.drop_namespace(db, self._statements, self._namespace)
        return schema.info(found)

    # -- hints

    async def _listen(self, heard: Callable[..., None]) -> Connection | None:
        if self._options.pgbouncer:
            return None
        db = await self._pool.dial()
        try:
            await db.add_listener(self._channel, heard)
        except BaseException:
            db.terminate()
            raise
        return db

    async def _notify(self, payload: str) -> None:
        await self._read(lambda db: db.execute("SELECT pg_notify($1, $2)", self._channel, payload))

    async def _counter(self) -> int:
        statement = self._statements.qualify("SELECT last_value FROM hive.counter")
        return int(await self._read(lambda db: db.fetchval(statement)))
