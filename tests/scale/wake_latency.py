"""How soon an idle worker has the task that another process enqueues, by the ways in which it may be woken.

python tests/scale/wake_latency.py [SECONDS]     (6 s for each way and rate)

Starts PostgreSQL and Valkey of its own. One process enqueues at an even rate, another one claims; the times
are from before the enqueue to the lease at hand. `claims` are trips of claims for each task: a hint that
comes in vain costs one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from threading import Barrier
from typing import Any
from uuid import uuid4

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.embedded import postgres_server, valkey_server

QUEUE = "woken"
RATES = (5, 50)
WAYS = ("notify", "polling", "redis beside notify", "redis beside polling")


def store_of(way: str, postgres: str, valkey: str, schema: str) -> Choice:
    url = f"{postgres}{'&' if '?' in postgres else '?'}schema={schema}&min_connections=2"
    durable = f"{url}&pgbouncer=true" if "polling" in way else url
    hybrid = {"backend": "hybrid", "durable": "durable", "fast": "fast"}
    tables = {"durable": {"url": durable}, "fast": {"url": valkey}, "both": hybrid}
    return choose("both" if "redis" in way else "durable", Config({"stores": tables}))


async def produce(hive: Store, rate: int, count: int) -> None:
    began = time.monotonic()
    for number in range(count):
        await asyncio.sleep(began + number / rate - time.monotonic())
        await hive.tasks.enqueue(QUEUE, time.time())


async def consume(hive: Store, count: int) -> tuple[list[float], float]:
    """Seconds that each task took, and trips of claims for each."""
    took: list[float] = []
    async for lease in hive.tasks.consume(QUEUE, worker="w", poll=5):
        took.append(time.time() - lease.payload)
        await hive.tasks.complete(lease)
        if len(took) == count:
            break
    return took, hive.telemetry.measured().lanes["claim"].trips / count


def child(side: str, choice: tuple[str, ...], rate: int, count: int, start: Barrier, out: Queue[Any]) -> None:
    async def run() -> None:
        async with open_store(store_of(*choice), janitor=False, follow=False) as hive:
            if "redis" in choice[0]:
                hive._driver._waking.carries = True
            if side == "produce":
                await asyncio.to_thread(start.wait)
                await asyncio.sleep(1)
                await produce(hive, rate, count)
            else:
                await asyncio.to_thread(start.wait)
                out.put(await consume(hive, count))

    asyncio.run(run())


def measure(choice: tuple[str, ...], rate: int, seconds: float) -> str:
    count = int(rate * seconds)
    spawn = get_context("spawn")
    start, out = spawn.Barrier(2), spawn.Queue()
    sides = [
        spawn.Process(target=child, args=(side, choice, rate, count, start, out))
        for side in ("produce", "consume")
    ]
    for side in sides:
        side.start()
    took, claims = out.get(timeout=seconds + 30)
    for side in sides:
        side.join()
    found = [sorted(took)[min(len(took) - 1, int(len(took) * share))] * 1000 for share in (0.5, 0.95, 0.99)]
    return "".join(f"{each:9.1f}" for each in found) + f"{claims:9.2f}"


def main(seconds: float) -> None:
    print(f"{'':22}{'rate/s':>7}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'claims':>9}")
    with postgres_server() as postgres, valkey_server(fsync="never written") as valkey:
        for way in WAYS:
            schema = f"w_{uuid4().hex[:8]}"
            choice = (way, postgres.url, valkey.url, schema)
            asyncio.run(open_store(store_of(*choice)).upgrade_schema())
            for rate in RATES:
                print(f"{way:22}{rate:7}" + measure(choice, rate, seconds), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6)
