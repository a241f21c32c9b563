"""What many followers of one stream get from a durable stream, and from one in Redis.

python tests/scale/followers.py [SECONDS [RATE]]     (6 s, 50 events/s)

Starts PostgreSQL and Valkey of its own, and 4 processes of 25 followers each, over a hybrid store. One stream
is durable, the other one ephemeral: it is what a relay to Redis could give at best, for that would have to
do all that PostgreSQL does besides. Told are the time from before an event is published until a follower has
it, and what one event costs in CPU: of the server that has the stream, and of the followers' processes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import aclosing
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.embedded import postgres_server, valkey_server

PROCESSES, FOLLOWERS = 4, 25
STREAMS = {"postgres": "durable", "redis": "ephemeral"}


def store_of(postgres: str, valkey: str, schema: str) -> Choice:
    url = f"{postgres}{'&' if '?' in postgres else '?'}schema={schema}&min_connections=2"
    hybrid = {"backend": "hybrid", "durable": "durable", "fast": "fast", "ephemeral": "ephemeral"}
    return choose(
        "both", Config({"stores": {"durable": {"url": url}, "fast": {"url": valkey}, "both": hybrid}})
    )


async def follow(hive: Store, stream: str, count: int) -> list[float]:
    """Seconds that each event took."""
    took: list[float] = []
    async with aclosing(hive.events.follow(stream, start=1)) as events:
        async for event in events:
            took.append(time.time() - event.body)
            if len(took) == count:
                break
    return took


def process(choice: tuple[str, ...], stream: str, count: int, start: Barrier, out: Queue[Any]) -> None:
    async def run() -> None:
        async with open_store(store_of(*choice), janitor=False, follow=False) as hive:
            following = [asyncio.create_task(follow(hive, stream, count)) for _ in range(FOLLOWERS)]
            await asyncio.to_thread(start.wait)
            began = time.process_time()
            took = [each for some in await asyncio.gather(*following) for each in some]
            out.put((took, time.process_time() - began))

    asyncio.run(run())


async def publish(choice: tuple[str, ...], stream: str, rate: int, count: int) -> None:
    async with open_store(store_of(*choice), janitor=False, follow=False) as hive:
        await asyncio.sleep(1)
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(began + number / rate - time.monotonic())
            await hive.events.publish(stream, time.time())


def cpu_of(root: int) -> float:
    """Seconds of CPU of a process and of all below it so far, those that have ended among them."""
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
    tree = [root]
    for pid in tree:
        tree += [child for child, stat in stats.items() if int(stat[1]) == pid]
    ticks = sum(sum(map(int, stats[pid][11:13])) for pid in tree if pid in stats) + sum(
        map(int, stats[root][13:15])
    )
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(choice: tuple[str, ...], stream: str, server: int, seconds: float, rate: int) -> str:
    count = int(seconds * rate)
    spawn = get_context("spawn")
    start, out = spawn.Barrier(PROCESSES + 1), spawn.Queue()
    sides = [
        spawn.Process(target=process, args=(choice, stream, count, start, out)) for _ in range(PROCESSES)
    ]
    for side in sides:
        side.start()
    start.wait()
    before = cpu_of(server)
    asyncio.run(publish(choice, stream, rate, count))
    answers = [out.get(timeout=60 + seconds) for _ in sides]
    spent = cpu_of(server) - before
    for side in sides:
        side.join()
    took = sorted(each for some, _ in answers for each in some)
    found = [took[int(len(took) * share)] * 1000 for share in (0.5, 0.95)]
    costs = [spent / count * 1e6, sum(cpu for _, cpu in answers) / count * 1e6]
    return "".join(f"{each:14.1f}" for each in found) + "".join(f"{each:14,.0f}" for each in costs)


def main(seconds: float = 6, rate: float = 50) -> None:
    print(f"{'stream in':10}{'p50 ms':>14}{'p95 ms':>14}{'server us':>14}{'followers us':>14}   an event")
    with postgres_server() as postgres, valkey_server(fsync="never written") as valkey:
        choice = (postgres.url, valkey.url, f"f_{uuid4().hex[:8]}")
        asyncio.run(open_store(store_of(*choice)).upgrade_schema())
        pids = {"postgres": postgres.pid, "redis": valkey.pid}
        for where, stream in STREAMS.items():
            pid = pids[where]
            assert pid is not None
            print(f"{where:10}" + measure(choice, stream, pid, seconds, int(rate)), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:3]))
