"""What an answer costs over one connection: `python tests/redis/measure_connection.py`.

Microseconds a GET of 200 bytes, one at a time: of the clock, and of this process's CPU.
Three times each, in turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from hive_state_core.embedded import valkey_server
from hive_state_core.url import parse_url
from hive_state_redis.connecting import connect
from hive_state_redis.options import parse_options

CALLS = 3000


async def cost(call: Callable[[], Awaitable[Any]]) -> str:
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        await call()
    clock, cpu = time.perf_counter() - began, time.process_time() - spent
    return f"{clock / CALLS * 1e6:.0f} us ({cpu / CALLS * 1e6:.0f} us CPU)"


async def main() -> None:
    with valkey_server(fsync="never written") as server:
        link = await connect(parse_options(parse_url(server.url)), b"x")
        client: redis.asyncio.Redis = redis.asyncio.from_url(server.url)
        await link.call("SET", "key", b"x" * 200)
        for _ in range(3):
            print("redis-py", await cost(lambda: client.get("key")))
            print("link    ", await cost(lambda: link.call("GET", "key", reads=True)))
        await client.aclose()
        await link.close()


if __name__ == "__main__":
    asyncio.run(main())
