"""Redis as a cache in front of another store: `hive_state_core.caching.Cache`, by small scripts.

The server may evict any of these keys; they have a TTL, all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from hive_state_core.caching import KEPT_MS, LEASE_MS, Asked, Beat, Entry, Hit, pack, unpack
from hive_state_core.errors import Closed, Unavailable
from hive_state_core.model import RecordRef, Topic
from hive_state_core.spi import MemoryStats
from hive_state_redis.connecting import Link, Script, connect
from hive_state_redis.options import RedisOptions
from hive_state_redis.waiting import Listener, news_of
from hive_state_redis.wire import Wire


@cache
def _script(name: str) -> Script:
    folder = files("hive_state_redis") / "lua"
    parts = ("cache_lead",) if name == "cache_lead" else ("cache_base", name)
    return Script("".join([(folder / f"{part}.lua").read_text() for part in parts]))


class RedisCache:
    """See `hive_state_core.caching.Cache`."""

    def __init__(self, options: RedisOptions, namespace: str) -> None:
        self._options = options
        self._tag = options.tag(namespace)
        self._link: Link | None = None
        self._prefix = b""
        self._connecting = asyncio.Lock()
        self._listener = Listener(self._listen)

    async def open(self, store_id: str) -> None:
        self._prefix = b"{%b}:cache:%b:" % (self._tag, store_id.encode())
        await self._opened()

    async def close(self) -> None:
        await self._listener.close()
        self._prefix = b""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> Asked:
        keys = [self._prefix + b"beat", *map(self._entry, refs)]
        at, beat, *found = await self._run("cache_ask", keys, (lease, LEASE_MS, int(gated)))
        hits = [_found(ref, each) for ref, each in zip(refs, found, strict=True)] if found else None
        return Asked(at, _beat(beat), hits or [False] * len(refs))

    async def push(self, entries: Sequence[Entry]) -> None:
        keys = [self._prefix + b"beat"]
        args: list[bytes | str | int] = [KEPT_MS]
        for entry in entries:
            keys.append(self._entry(entry.ref))
            args += _told(entry)
        await self._run("cache_push", keys, args)

    def _entry(self, ref: RecordRef) -> bytes:
        return self._prefix + f"e:{ref.collection}\0{ref.key}".encode()

    async def now(self) -> int:
        seconds, micros = await (await self._opened()).call("TIME", reads=True)
        return int(seconds) * 1000 + int(micros) // 1000

    async def beat(self, beat: Beat) -> None:
        digits = [f"{number:016d}" for number in beat]
        await self._run("cache_beat", [self._prefix + b"beat"], (*digits, KEPT_MS))

    async def lead(self, name: str, ms: int) -> bool:
        return bool(await self._run("cache_lead", [self._prefix + b"relay"], (name, ms)))

    async def memory(self) -> MemoryStats:
        said = await (await self._opened()).call("INFO", "memory", reads=True)
        lines = dict(line.split(":", 1) for line in said.decode().splitlines() if ":" in line)
        return MemoryStats(used=int(lines["used_memory"]), most=int(lines["maxmemory"]) or None)

    async def announce(self, news: Collection[int]) -> None:
        await (await self._opened()).call("PUBLISH", self._prefix + b"news", news_of(news), reads=True)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await self._listener.wait(topics, timeout)

    async def _listen(self, heard: Callable[[bytes | None], None]) -> Wire:
        if self._link is None:  # whoever has something to ask connects, and may be in a hurry
            raise Unavailable("the cache was not reached yet")
        return await self._link.listen(self._prefix + b"news", heard)

    async def _run(self, name: str, keys: Sequence[bytes], args: Sequence[bytes | str | int]) -> Any:
        link = self._link or await self._opened()
        return await link.script(_script(name), keys, args)

    async def _opened(self) -> Link:
        """Connects, if the server could not be reached before."""
        async with self._connecting:
            if not self._prefix:
                raise Closed("the cache is not open")
            if self._link is None:
                self._link = await connect(self._options, self._tag)
            return self._link


def _beat(text: bytes) -> Beat | None:
    return Beat(int(text[12:28]), int(text[28:44]), int(text[44:60])) if text else None


def _found(ref: RecordRef, found: Any) -> Hit | bool:
    if isinstance(found, int):
        return bool(found)
    if isinstance(found, list):
        return Hit(unpack(ref, found[0][1:]), found[1])
    return Hit(unpack(ref, found[1:]), None)


def _told(entry: Entry) -> tuple[str, bytes | str]:
    until = "" if entry.until is None else str(entry.until)
    head = str(entry.version).zfill(16) + until.rjust(16) + entry.lease
    if entry.image is None:
        return head, ""
    return head, (b"-" if entry.until is None else b"x") + pack(entry.image)
