"""A hive in a process of its own, to be killed: says on stdout what the store has acknowledged.

One line each, written before the next call: `E id` an enqueue, `C id token` a claim that was finished in
one atomic unit, `P key number` a record's new content. Last, unless it is killed: `END` with its counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

from hive_state_core import Store, open_store

QUEUE = "work"


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Agent:
    def __init__(self, hive: Store, name: str, lease: float) -> None:
        self.hive = hive
        self.lease = lease
        self.name = name
        self.done = 0
        self.slowest = 0.0

    async def run(self, until: float, file: Path | None) -> None:
        number = 0
        while time.monotonic() < until and not (file and file.exists()):
            number += 1
            began = time.monotonic()
            await self.step(number)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.done += 1

    async def step(self, number: int) -> None:
        hive = self.hive
        task = await hive.tasks.enqueue(QUEUE, {"by": self.name, "number": number}, max_attempts=1000)
        say("E", task.id)
        await hive.records.put("agents", self.name, number)
        say("P", self.name, number)
        for lease in await hive.tasks.claim(QUEUE, worker=self.name, lease=self.lease):
            async with hive.atomic() as unit:
                unit.tasks.complete(lease)
                unit.records.put("effects", f"{lease.id}/{lease.token}", self.name, if_absent=True)
            say("C", lease.id, lease.token)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lease", type=float, default=2)
    parser.add_argument("--until", type=Path, help="end as soon as this file is there")
    options = parser.parse_args()
    async with open_store(options.url) as hive:
        say("OPEN")
        agents = [Agent(hive, f"{options.name}-{n}", options.lease) for n in range(options.agents)]
        until = time.monotonic() + options.seconds
        results = await asyncio.gather(
            *(agent.run(until, options.until) for agent in agents), return_exceptions=True
        )
    errors = [repr(result) for result in results if result is not None]
    counts = {
        "steps": sum(agent.done for agent in agents),
        "slowest": max(agent.slowest for agent in agents),
        "errors": errors[:3],
    }
    say("END", json.dumps(counts))


if __name__ == "__main__":
    asyncio.run(main())
