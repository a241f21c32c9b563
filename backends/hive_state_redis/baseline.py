"""What `bench --raw` compares the driver with: the same work by hand, with redis-py.

A pool of 20 connections, hiredis to parse, one call an operation: a command where one is enough, else a
script that the server has already. Every look-up is by key, a queue is a sorted set, a stream is a stream.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from hive_state_core.baselines import Held, HeldEvent, HeldTask, Taken
from hive_state_core.codec import Json
from hive_state_core.errors import Closed, ConfigError, Unavailable
from hive_state_redis.options import RedisOptions

PUT = """
local old = redis.call('GET', KEYS[1])
local version = old and tonumber(string.match(old, '^%d+')) + 1 or 1
redis.call('SET', KEYS[1], string.format('%.0f', version) .. ':' .. ARGV[1])
return version
"""
CAS = """
local old = redis.call('GET', KEYS[1])
if not old or string.match(old, '^%d+') ~= ARGV[2] then return nil end
local version = tonumber(ARGV[2]) + 1
redis.call('SET', KEYS[1], string.format('%.0f', version) .. ':' .. ARGV[1])
return version
"""
ENQUEUE = """
local place = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], 'state', 'ready', 'payload', ARGV[2], 'token', 0, 'created_at', ARGV[3])
redis.call('ZADD', KEYS[2], 5e14 + place, ARGV[1])
"""  # the priority, 5, comes before the order
CLAIM = """
local first = redis.call('ZPOPMIN', KEYS[1])[1]
if not first then return nil end
local task = ARGV[1] .. first
local token = redis.call('HINCRBY', task, 'token', 1)
redis.call('HSET', task, 'state', 'leased', 'worker', ARGV[2], 'lease_until', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[3], first)
return {first, token, redis.call('HGET', task, 'payload')}
"""
COMPLETE = """
local now = redis.call('HMGET', KEYS[1], 'state', 'token')
if now[1] ~= 'leased' or now[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'completed', 'finished_at', ARGV[3])
redis.call('HDEL', KEYS[1], 'worker', 'lease_until')
return redis.call('ZREM', KEYS[2], ARGV[1])
"""
APPEND = """
local seq = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], string.format('%.0f-0', seq), 'body', ARGV[1])
return seq
"""
ACK = """
local held = redis.call('XPENDING', KEYS[1], 'group', ARGV[1], ARGV[1], 1)[1]
if not held or held[4] ~= tonumber(ARGV[2]) then return 0 end
return redis.call('XACK', KEYS[1], 'group', ARGV[1])
"""  # the token is the number of deliveries, as the pending list counts them
CONNECTIONS = 20
LEASE_MS = 600_000
_PAGE = 1000

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class RedisBaseline:
    """See `hive_state_core.baselines.Baseline`. Its keys have a prefix of their own, beside the store's."""

    def __init__(self, options: RedisOptions) -> None:
        if options.layout not in ("server", "unix"):
            raise ConfigError("bench --raw compares on one server: redis://, rediss:// or redis+unix://")
        self._options = options
        prefix = f"{{{options.prefix}-baseline-{uuid4().hex[:8]}}}:"
        self._prefix, self._record, self._task = prefix, f"{prefix}r:", f"{prefix}t:"
        self._ready, self._leased, self._order = f"{prefix}ready", f"{prefix}leased", f"{prefix}order"
        self._stream, self._head = f"{prefix}events", f"{prefix}head"
        self._client: redis.asyncio.Redis | None = None
        self._scripts: dict[str, str] = {}

    @property
    def _db(self) -> Any:  # redis-py's types say of every call that it may also be a sync one
        if self._client is None:
            raise Closed("the baseline is not open")
        return self._client

    async def open(self) -> None:
        pool = redis.asyncio.BlockingConnectionPool(
            max_connections=CONNECTIONS, timeout=None, **_connect_arguments(self._options)
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        try:
            for script in (PUT, CAS, ENQUEUE, CLAIM, COMPLETE, APPEND, ACK):
                self._scripts[script] = await self._db.script_load(script)
            await self._db.xgroup_create(self._stream, "group", id="0", mkstream=True)
        except RedisError as error:
            client, self._client = self._client, None
            await client.aclose()
            kind = type(error).__name__
            raise Unavailable(f"the baseline cannot use Redis at {self._options.place}: {kind}") from error

    async def close(self) -> None:
        if self._client is not None:
            async for keys in self._keys(self._prefix):
                await self._db.unlink(*keys)
            client, self._client = self._client, None
            await client.aclose()

    async def about(self) -> Mapping[str, object]:
        server = await self._db.info("server")
        valkey = server.get("valkey_version")
        settings = await self._db.config_get("append*")
        return {
            "valkey" if valkey else "redis": valkey or server["redis_version"],
            "library": f"redis-py {redis.__version__}",
            "pool": CONNECTIONS,
            "appendonly": settings.get("appendonly"),
            "appendfsync": settings.get("appendfsync"),
        }

    async def get(self, key: str) -> tuple[Json, int] | None:
        found = await self._db.get(self._record + key)
        return None if found is None else _record(found)

    async def put(self, key: str, value: Json) -> int:
        return int(await self._call(PUT, (self._record + key,), _encode(value)))

    async def cas(self, key: str, value: Json, version: int) -> int | None:
        found = await self._call(CAS, (self._record + key,), _encode(value), version)
        return None if found is None else int(found)

    async def enqueue(self, payload: Json) -> str:
        id = uuid4().hex
        await self._call(ENQUEUE, (self._task + id, self._ready, self._order), id, _encode(payload), _now())
        return id

    async def claim(self, worker: str) -> Held | None:
        row = await self._call(CLAIM, (self._ready, self._leased), self._task, worker, _now() + LEASE_MS)
        return None if row is None else Held(row[0].decode(), row[1], _decode(row[2]))

    async def complete(self, task: HeldTask) -> bool:
        keys = (self._task + task.id, self._leased)
        return bool(await self._call(COMPLETE, keys, task.id, task.token, _now()))

    async def append(self, body: Json) -> int:
        return int(await self._call(APPEND, (self._stream, self._head), _encode(body)))

    async def take(self, consumer: str) -> Taken | None:
        streams = await self._db.xreadgroup("group", consumer, {self._stream: ">"}, count=1)
        if not streams:
            return None
        ((_, ((id, fields),)),) = streams
        return Taken(_seq(id), 1, _decode(fields[b"body"]))

    async def ack(self, event: HeldEvent) -> bool:
        return bool(await self._call(ACK, (self._stream,), f"{event.seq}-0", event.token))

    async def load(self, records: Mapping[str, Json]) -> None:
        await self._many(PUT, [((self._record + key,), (_encode(value),)) for key, value in records.items()])

    async def fill(self, payloads: Sequence[Json]) -> Sequence[str]:
        now, ids = _now(), [uuid4().hex for _ in payloads]
        calls = [
            ((self._task + id, self._ready, self._order), (id, _encode(payload), now))
            for id, payload in zip(ids, payloads, strict=True)
        ]
        await self._many(ENQUEUE, calls)
        return ids

    async def records(self) -> Sequence[tuple[str, Json, int]]:
        made: list[tuple[str, Json, int]] = []
        async for keys in self._keys(self._record):
            for key, found in zip(keys, await self._db.mget(keys), strict=True):
                made.append((key.decode().removeprefix(self._record), *_record(found)))
        return made

    async def tasks(self) -> Sequence[tuple[str, str]]:
        made: list[tuple[str, str]] = []
        async for keys in self._keys(self._task):
            async with self._db.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hget(key, "state")
                states = await pipeline.execute()
            ids = (key.decode().removeprefix(self._task) for key in keys)
            made += zip(ids, (state.decode() for state in states), strict=True)
        return made

    async def events(self) -> Sequence[tuple[int, Json]]:
        return [(_seq(id), _decode(fields[b"body"])) for id, fields in await self._db.xrange(self._stream)]

    async def unfinished(self) -> int:
        """Those that were handed out, and those that were not yet."""
        (group,) = await self._db.xinfo_groups(self._stream)
        return int(group["pending"]) + int(group["lag"])

    async def _call(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        return await self._db.evalsha(self._scripts[script], len(keys), *keys, *arguments)

    async def _many(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> None:
        for start in range(0, len(calls), _PAGE):
            async with self._db.pipeline(transaction=False) as pipeline:
                for keys, arguments in calls[start : start + _PAGE]:
                    pipeline.evalsha(self._scripts[script], len(keys), *keys, *arguments)
                await pipeline.execute()

    async def _keys(self, prefix: str) -> AsyncIterator[list[bytes]]:
        """All keys with this prefix, page by page; each once, for nobody writes meanwhile."""
        found: set[bytes] = {key async for key in self._db.scan_iter(match=f"{prefix}*", count=_PAGE)}
        keys = sorted(found)
        for start in range(0, len(keys), _PAGE):
            yield keys[start : start + _PAGE]


def _connect_arguments(options: RedisOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "db": options.db,
        "username": options.username,
        "password": options.password,
        "protocol": 2,
    }
    if options.socket:
        kind = redis.asyncio.UnixDomainSocketConnection
        return {**arguments, "connection_class": kind, "path": options.socket}
    ((host, port),) = options.hosts
    arguments |= {"host": host, "port": port}
    if not options.tls:
        return arguments
    return {
        **arguments,
        "connection_class": redis.asyncio.SSLConnection,
        "ssl_ca_certs": options.ssl_ca_certs,
        "ssl_certfile": options.ssl_certfile,
        "ssl_keyfile": options.ssl_keyfile,
        "ssl_password": options.ssl_password,
        "ssl_cert_reqs": options.ssl_cert_reqs,
        "ssl_check_hostname": options.ssl_check_hostname and options.ssl_cert_reqs == "required",
    }


def _record(found: bytes) -> tuple[Json, int]:
    version, _, value = found.partition(b":")
    return _decode(value), int(version)


def _seq(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def _now() -> int:
    return time.time_ns() // 1_000_000
