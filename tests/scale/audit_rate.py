"""Tasks a second, each completed and written to one audit stream in the same atomic commit.

python tests/scale/audit_rate.py URL [PROCESSES [AGENTS [SECONDS]]]     (8 processes of 13 agents, 5 s)

Every process claims from one queue with so many agents. In the end the stream has to hold each completed task
once, with numbers without a gap.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.queues import Queue
from threading import Barrier
from typing import Any

from hive_state_core import Store, open_store

QUEUE, STREAM, CHUNK, PAGE = "audited", "audit", 1000, 1000
AMPLE = 3000
"""Tasks that wait for each second."""


async def agent(hive: Store, name: str, until: float) -> int:
    done = 0
    while time.time() < until:
        for lease in await hive.tasks.claim(QUEUE, worker=name, lease=60):
            async with hive.atomic() as unit:
                unit.tasks.complete(lease)
                unit.events.publish(STREAM, {"task": lease.id, "by": name})
            done += 1
    return done


async def agents(url: str, namespace: str, process: int, count: int, seconds: float, start: Barrier) -> int:
    async with open_store(url, namespace=namespace, janitor=False) as hive:
        await asyncio.to_thread(start.wait)
        until = time.time() + seconds
        calls = [agent(hive, f"agent-{process}-{number}", until) for number in range(count)]
        return sum(await asyncio.gather(*calls))


def work(results: Queue[int], *arguments: Any) -> None:
    results.put(asyncio.run(agents(*arguments)))


async def fill(hive: Store, count: int) -> None:
    for first in range(0, count, CHUNK):
        await hive.tasks.enqueue_many(QUEUE, [{"n": n} for n in range(first, first + CHUNK)])


async def audit(hive: Store) -> Counter[str]:
    """How often each task is in the stream. Raises if a number is missing."""
    found: Counter[str] = Counter()
    while page := await hive.events.read(STREAM, start=found.total() + 1, limit=PAGE):
        assert [event.seq for event in page] == list(range(found.total() + 1, found.total() + 1 + len(page)))
        found.update([event.body["task"] for event in page])
    return found


async def main(url: str, processes: int, count: int, seconds: float) -> None:
    namespace = f"audit-{time.time_ns():x}"
    spawn = get_context("spawn")
    results, start = spawn.Queue(), spawn.Barrier(processes)
    async with open_store(url, namespace=namespace, janitor=False) as hive:
        await fill(hive, int(AMPLE * seconds))
        jobs = [(results, url, namespace, process, count, seconds, start) for process in range(processes)]
        running = [spawn.Process(target=work, args=job) for job in jobs]
        for process in running:
            process.start()
        done = sum([await asyncio.to_thread(results.get, timeout=60 + seconds) for _ in running])
        found = await audit(hive)
        assert len(found) == found.total() == done, (len(found), found.total(), done)
    print(f"{processes} processes of {count} agents: {done / seconds:,.0f} tasks/s")


if __name__ == "__main__":
    options = [int(argument) for argument in sys.argv[2:5]]
    asyncio.run(main(sys.argv[1], *(options + [8, 13, 5][len(options) :])))
