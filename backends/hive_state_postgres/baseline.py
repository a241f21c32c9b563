"""What `bench --raw` compares the driver with: the same work by hand, with asyncpg.

A pool of 20 connections, prepared statements (asyncpg keeps them), one statement an operation in autocommit,
every look-up by an index, claims with SKIP LOCKED.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import msgspec

from hive_state_core.baselines import Held, HeldEvent, HeldTask, Taken
from hive_state_core.codec import Json
from hive_state_core.errors import Closed
from hive_state_postgres.errors import connect_error
from hive_state_postgres.options import Options, connect_arguments

SCHEMA = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.records (
    key        text COLLATE "C" PRIMARY KEY,
    value      bytea NOT NULL,
    version    bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE {schema}.tasks (
    ord         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text COLLATE "C" NOT NULL UNIQUE,
    state       text NOT NULL DEFAULT 'ready',
    priority    int NOT NULL DEFAULT 5,
    payload     bytea NOT NULL,
    attempt     int NOT NULL DEFAULT 0,
    token       bigint NOT NULL DEFAULT 0,
    worker      text,
    lease_until bigint,
    created_at  bigint NOT NULL,
    finished_at bigint
);
CREATE INDEX tasks_ready ON {schema}.tasks (priority, ord) WHERE state = 'ready';
CREATE TABLE {schema}.heads (
    stream int PRIMARY KEY,
    last   bigint NOT NULL
);
INSERT INTO {schema}.heads VALUES (1, 0);
CREATE TABLE {schema}.events (
    seq         bigint PRIMARY KEY,
    body        bytea NOT NULL,
    at          bigint NOT NULL,
    state       text NOT NULL DEFAULT 'new',
    token       bigint NOT NULL DEFAULT 0,
    consumer    text,
    lease_until bigint
);
CREATE INDEX events_new ON {schema}.events (seq) WHERE state = 'new';
"""
GET = "SELECT value, version FROM {schema}.records WHERE key = $1"
PUT = """
INSERT INTO {schema}.records AS r (key, value, version, updated_at) VALUES ($1, $2, 1, $3)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, version = r.version + 1, updated_at = excluded.updated_at
RETURNING version
"""
CAS = """
UPDATE {schema}.records SET value = $1, version = version + 1, updated_at = $2 WHERE key = $3 AND version = $4
RETURNING version
"""
ENQUEUE = "INSERT INTO {schema}.tasks (id, payload, created_at) VALUES ($1, $2, $3)"
CLAIM = """
UPDATE {schema}.tasks
SET state = 'leased', attempt = attempt + 1, token = token + 1, worker = $1, lease_until = $2
WHERE ord = (
    SELECT ord FROM {schema}.tasks WHERE state = 'ready' ORDER BY priority, ord LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, token, payload
"""
COMPLETE = """
UPDATE {schema}.tasks SET state = 'completed', worker = NULL, lease_until = NULL, finished_at = $1
WHERE id = $2 AND token = $3 AND state = 'leased'
RETURNING 1
"""
APPEND = """
WITH head AS (UPDATE {schema}.heads SET last = last + 1 WHERE stream = 1 RETURNING last)
INSERT INTO {schema}.events (seq, body, at) SELECT last, $1, $2 FROM head RETURNING seq
"""  # the row of the head is what keeps seqs gapless and in commit order
TAKE = """
UPDATE {schema}.events SET state = 'out', token = token + 1, consumer = $1, lease_until = $2
WHERE seq = (SELECT seq FROM {schema}.events WHERE state = 'new' ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING seq, token, body
"""
ACK = """
UPDATE {schema}.events SET state = 'acked', consumer = NULL, lease_until = NULL
WHERE seq = $1 AND token = $2 AND state = 'out'
RETURNING 1
"""
CONNECTIONS = 20
LEASE_MS = 600_000

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class PostgresBaseline:
    """See `hive_state_core.baselines.Baseline`. Its tables are in a new schema beside that of the store."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._schema = f"{options.schema}_baseline_{uuid4().hex[:8]}"
        self._pool: asyncpg.Pool | None = None
        self._get, self._put, self._cas, self._enqueue, self._claim, self._complete = (
            text.format(schema=self._schema) for text in (GET, PUT, CAS, ENQUEUE, CLAIM, COMPLETE)
        )
        self._append, self._take, self._ack = (
            text.format(schema=self._schema) for text in (APPEND, TAKE, ACK)
        )

    @property
    def _db(self) -> asyncpg.Pool:
        if self._pool is None:
            raise Closed("the baseline is not open")
        return self._pool

    async def open(self) -> None:
        try:
            hosts, ports = zip(*self._options.hosts, strict=True)
            self._pool = await asyncpg.create_pool(
                **connect_arguments(self._options),
                host=list(hosts),
                port=list(ports),
                min_size=CONNECTIONS,
                max_size=CONNECTIONS,
            )
        except Exception as error:
            raise connect_error(error, self._options.place) from error
        await self._pool.execute(SCHEMA.format(schema=self._schema))

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
            await pool.close()

    async def about(self) -> Mapping[str, object]:
        return {
            "postgres": await self._db.fetchval("SELECT current_setting('server_version')"),
            "library": f"asyncpg {asyncpg.__version__}",
            "pool": CONNECTIONS,
            "synchronous_commit": await self._db.fetchval("SELECT current_setting('synchronous_commit')"),
        }

    async def get(self, key: str) -> tuple[Json, int] | None:
        row = await self._db.fetchrow(self._get, key)
        return None if row is None else (_decode(row[0]), row[1])

    async def put(self, key: str, value: Json) -> int:
        return int(await self._db.fetchval(self._put, key, _encode(value), _now()))

    async def cas(self, key: str, value: Json, version: int) -> int | None:
        found = await self._db.fetchval(self._cas, _encode(value), _now(), key, version)
        return None if found is None else int(found)

    async def enqueue(self, payload: Json) -> str:
        id = uuid4().hex
        await self._db.execute(self._enqueue, id, _encode(payload), _now())
        return id

    async def claim(self, worker: str) -> Held | None:
        row = await self._db.fetchrow(self._claim, worker, _now() + LEASE_MS)
        return None if row is None else Held(row[0], row[1], _decode(row[2]))

    async def complete(self, task: HeldTask) -> bool:
        return await self._db.fetchval(self._complete, _now(), task.id, task.token) is not None

    async def append(self, body: Json) -> int:
        return int(await self._db.fetchval(self._append, _encode(body), _now()))

    async def take(self, consumer: str) -> Taken | None:
        row = await self._db.fetchrow(self._take, consumer, _now() + LEASE_MS)
        return None if row is None else Taken(row[0], row[1], _decode(row[2]))

    async def ack(self, event: HeldEvent) -> bool:
        return await self._db.fetchval(self._ack, event.seq, event.token) is not None

    async def load(self, records: Mapping[str, Json]) -> None:
        now = _now()
        await self._many(self._put, [(key, _encode(value), now) for key, value in records.items()])

    async def fill(self, payloads: Sequence[Json]) -> Sequence[str]:
        now = _now()
        tasks = [(uuid4().hex, _encode(payload), now) for payload in payloads]
        await self._many(self._enqueue, tasks)
        return [id for id, _, _ in tasks]

    async def records(self) -> Sequence[tuple[str, Json, int]]:
        rows = await self._db.fetch(f"SELECT key, value, version FROM {self._schema}.records")
        return [(key, _decode(value), version) for key, value, version in rows]

    async def tasks(self) -> Sequence[tuple[str, str]]:
        return [
            (id, state) for id, state in await self._db.fetch(f"SELECT id, state FROM {self._schema}.tasks")
        ]

    async def events(self) -> Sequence[tuple[int, Json]]:
        rows = await self._db.fetch(f"SELECT seq, body FROM {self._schema}.events ORDER BY seq")
        return [(seq, _decode(body)) for seq, body in rows]

    async def unfinished(self) -> int:
        count = f"SELECT count(*) FROM {self._schema}.events WHERE state <> 'acked'"
        return int(await self._db.fetchval(count))

    async def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """All rows in one transaction."""
        await self._db.executemany(statement.partition("RETURNING")[0], rows)


def _now() -> int:
    return time.time_ns() // 1_000_000
