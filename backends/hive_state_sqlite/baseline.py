"""What `bench --raw` compares the driver with: the same work by hand, with aiosqlite.

One connection in WAL mode, one statement and one commit an operation, each in a single hop to the
connection's thread (`execute_fetchall`), every look-up by an index.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import aiosqlite
import msgspec

from hive_state_core.baselines import Held, HeldEvent, HeldTask, Taken
from hive_state_core.codec import Json
from hive_state_core.errors import Closed
from hive_state_sqlite.connection import native_errors
from hive_state_sqlite.options import Options

SCHEMA = """
CREATE TABLE records (
    key        TEXT PRIMARY KEY,
    value      BLOB NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE tasks (
    ord         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL DEFAULT 'ready',
    priority    INTEGER NOT NULL DEFAULT 5,
    payload     BLOB NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    token       INTEGER NOT NULL DEFAULT 0,
    worker      TEXT,
    lease_until INTEGER,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
);
CREATE INDEX tasks_ready ON tasks (priority, ord) WHERE state = 'ready';
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    body        BLOB NOT NULL,
    at          INTEGER NOT NULL,
    state       TEXT NOT NULL DEFAULT 'new',
    token       INTEGER NOT NULL DEFAULT 0,
    consumer    TEXT,
    lease_until INTEGER
);
CREATE INDEX events_new ON events (seq) WHERE state = 'new';
"""
GET = "SELECT value, version FROM records WHERE key = ?"
PUT = """
INSERT INTO records (key, value, version, updated_at) VALUES (?, ?, 1, ?)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = version + 1, updated_at = excluded.updated_at
RETURNING version
"""
CAS = """
UPDATE records SET value = ?, version = version + 1, updated_at = ? WHERE key = ? AND version = ?
RETURNING version
"""
ENQUEUE = "INSERT INTO tasks (id, payload, created_at) VALUES (?, ?, ?)"
CLAIM = """
UPDATE tasks SET state = 'leased', attempt = attempt + 1, token = token + 1, worker = ?, lease_until = ?
WHERE ord = (SELECT ord FROM tasks WHERE state = 'ready' ORDER BY priority, ord LIMIT 1)
RETURNING id, token, payload
"""
COMPLETE = """
UPDATE tasks SET state = 'completed', worker = NULL, lease_until = NULL, finished_at = ?
WHERE id = ? AND token = ? AND state = 'leased'
RETURNING 1
"""
APPEND = "INSERT INTO events (body, at) VALUES (?, ?) RETURNING seq"
TAKE = """
UPDATE events SET state = 'out', token = token + 1, consumer = ?, lease_until = ?
WHERE seq = (SELECT seq FROM events WHERE state = 'new' ORDER BY seq LIMIT 1)
RETURNING seq, token, body
"""
ACK = """
UPDATE events SET state = 'acked', consumer = NULL, lease_until = NULL
WHERE seq = ? AND token = ? AND state = 'out'
RETURNING 1
"""
LEASE_MS = 600_000

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class SqliteBaseline:
    """See `hive_state_core.baselines.Baseline`. Its file is new, and lies beside that of the store."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = f"{options.path}-baseline-{uuid4().hex[:8]}.db"
        self._connection: aiosqlite.Connection | None = None

    @property
    def _db(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise Closed("the baseline is not open")
        return self._connection

    async def open(self) -> None:
        # To its end also if it is cancelled: aiosqlite would leave its thread to itself.
        opening = asyncio.create_task(self._open())
        try:
            await asyncio.shield(opening)
        finally:
            await asyncio.wait({opening})

    async def _open(self) -> None:
        with native_errors(self._path, "open"):
            connecting: Any = aiosqlite.connect(self._path, isolation_level=None)
            getattr(connecting, "_thread", connecting).daemon = True  # it must not outlive the bench
            self._connection = db = await connecting
            await db.execute_fetchall("PRAGMA journal_mode = WAL")
            await db.execute_fetchall(f"PRAGMA synchronous = {self._options.synchronous}")
            await db.executescript(SCHEMA)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.remove(self._path + suffix)

    async def about(self) -> Mapping[str, object]:
        return {
            "sqlite": sqlite3.sqlite_version,
            "library": f"aiosqlite {aiosqlite.__version__}",
            "synchronous": self._options.synchronous,
            "journal_mode": "wal",
        }

    async def get(self, key: str) -> tuple[Json, int] | None:
        for value, version in await self._db.execute_fetchall(GET, (key,)):
            return _decode(value), version
        return None

    async def put(self, key: str, value: Json) -> int:
        ((version,),) = await self._db.execute_fetchall(PUT, (key, _encode(value), _now()))
        return int(version)

    async def cas(self, key: str, value: Json, version: int) -> int | None:
        for row in await self._db.execute_fetchall(CAS, (_encode(value), _now(), key, version)):
            return int(row[0])
        return None

    async def enqueue(self, payload: Json) -> str:
        id = uuid4().hex
        await self._db.execute_fetchall(ENQUEUE, (id, _encode(payload), _now()))
        return id

    async def claim(self, worker: str) -> Held | None:
        for id, token, payload in await self._db.execute_fetchall(CLAIM, (worker, _now() + LEASE_MS)):
            return Held(id, token, _decode(payload))
        return None

    async def complete(self, task: HeldTask) -> bool:
        return bool(await self._db.execute_fetchall(COMPLETE, (_now(), task.id, task.token)))

    async def append(self, body: Json) -> int:
        ((seq,),) = await self._db.execute_fetchall(APPEND, (_encode(body), _now()))
        return int(seq)

    async def take(self, consumer: str) -> Taken | None:
        for seq, token, body in await self._db.execute_fetchall(TAKE, (consumer, _now() + LEASE_MS)):
            return Taken(seq, token, _decode(body))
        return None

    async def ack(self, event: HeldEvent) -> bool:
        return bool(await self._db.execute_fetchall(ACK, (event.seq, event.token)))

    async def load(self, records: Mapping[str, Json]) -> None:
        now = _now()
        await self._many(PUT, [(key, _encode(value), now) for key, value in records.items()])

    async def fill(self, payloads: Sequence[Json]) -> Sequence[str]:
        now = _now()
        tasks = [(uuid4().hex, _encode(payload), now) for payload in payloads]
        await self._many(ENQUEUE, tasks)
        return [id for id, _, _ in tasks]

    async def records(self) -> Sequence[tuple[str, Json, int]]:
        rows = await self._db.execute_fetchall("SELECT key, value, version FROM records")
        return [(key, _decode(value), version) for key, value, version in rows]

    async def tasks(self) -> Sequence[tuple[str, str]]:
        return [(id, state) for id, state in await self._db.execute_fetchall("SELECT id, state FROM tasks")]

    async def events(self) -> Sequence[tuple[int, Json]]:
        rows = await self._db.execute_fetchall("SELECT seq, body FROM events ORDER BY seq")
        return [(seq, _decode(body)) for seq, body in rows]

    async def unfinished(self) -> int:
        ((count,),) = await self._db.execute_fetchall("SELECT count(*) FROM events WHERE state <> 'acked'")
        return int(count)

    async def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """All rows in one transaction."""
        await self._db.execute_fetchall("BEGIN")
        await self._db.executemany(statement.partition("RETURNING")[0], rows)
        await self._db.execute_fetchall("COMMIT")


def _now() -> int:
    return time.time_ns() // 1_000_000
