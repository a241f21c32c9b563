"""What an operation costs in the server: `python tests/redis/measure_server.py [NAME ...]`.

Microseconds of a trip of 100 calls inside the server's function, by its own count, divided by 100: the least
of some trips, as that is the one which nothing disturbed. Its file is synced once a second, so a disk has no
part in it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import uuid4

from hive_state_conformance.workloads_values import state
from hive_state_core.codec import encode
from hive_state_core.embedded import valkey_server
from hive_state_core.model import GroupRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimedTasks,
    ClaimEvents,
    ClaimTasks,
    Complete,
    CreateGroup,
    Enqueue,
    Op,
    Put,
    VersionIs,
)
from hive_state_core.url import parse_url
from hive_state_redis.driver import RedisDriver
from hive_state_redis.options import parse_options

CALLS, TRIPS, LEASE = 100, 30, 600_000
VALUES = [encode(state(number))[0] for number in range(CALLS)]
RECORDS = [RecordRef("agents", f"agent-{number:06d}") for number in range(CALLS)]
GROUP = GroupRef("audit", "readers")


class Hive:
    """The trips that are measured, and what each needs from the one before."""

    def __init__(self, driver: RedisDriver) -> None:
        self.driver = driver
        self.versions = [0] * CALLS
        self.tasks: list[Any] = []
        self.events: list[Any] = []

    async def commit(self, batches: Sequence[Batch]) -> Sequence[Any]:
        return (await self.driver.commit(batches, uuid4().hex)).results

    async def lone(self, ops: Sequence[Op]) -> Sequence[Any]:
        return await self.commit([Batch((op,)) for op in ops])

    async def get(self) -> None:
        await self.driver.read(RECORDS)

    async def put(self) -> None:
        found = await self.lone([Put(ref, value) for ref, value in zip(RECORDS, VALUES, strict=True)])
        self.versions = [outcome.version for outcome in found]

    async def cas(self) -> None:
        rows = zip(RECORDS, VALUES, self.versions, strict=True)
        found = await self.commit([Batch((Put(ref, value),), (VersionIs(ref, n),)) for ref, value, n in rows])
        self.versions = [outcome.version for outcome in found]

    async def enqueue(self) -> None:
        await self.lone([Enqueue(TaskRef(uuid4().hex), "work", value) for value in VALUES])

    async def claim(self) -> None:
        requests = [ClaimTasks("work", f"agent-{number}", LEASE) for number in range(CALLS)]
        found = cast(Sequence[ClaimedTasks], (await self.driver.claim(requests, uuid4().hex)).results)
        self.tasks = [task for claimed in found for task in claimed.tasks]

    async def complete(self) -> None:
        await self.lone([Complete(task.ref, task.token) for task in self.tasks])

    async def append(self) -> None:
        await self.lone([Append(StreamRef("audit"), value) for value in VALUES])

    async def take(self) -> None:
        requests = [ClaimEvents(GROUP, f"agent-{number}", LEASE) for number in range(CALLS)]
        found = cast(Sequence[ClaimedEvents], (await self.driver.claim(requests, uuid4().hex)).results)
        self.events = [one for claimed in found for one in claimed.deliveries]

    async def ack(self) -> None:
        await self.lone([Ack(GROUP, ((one.event.seq, one.token),)) for one in self.events])

    async def unit(self) -> None:
        """Complete a task, store what it made, publish it: as `hive.atomic()` does."""
        rows = zip(self.tasks, RECORDS, VALUES, strict=True)
        await self.commit(
            [
                Batch((Complete(task.ref, task.token), Put(ref, value), Append(StreamRef("all"), value)))
                for task, ref, value in rows
            ]
        )


async def main(names: Sequence[str]) -> None:
    with valkey_server(fsync="everysec") as server:
        driver = RedisDriver(parse_options(parse_url(server.url)), "measured")
        await driver.open()
        link = driver._opened().link
        hive = Hive(driver)
        await hive.lone([CreateGroup(GROUP, 0, 5)])
        cycle = ("get", "put", "cas", "enqueue", "claim", "complete", "append", "take", "ack")
        again = ("enqueue", "claim", "unit")
        least: dict[str, float] = {}

        async def measured(name: str, run: Callable[[], Awaitable[None]]) -> None:
            await link.call("CONFIG", "RESETSTAT")
            await run()
            told = (await link.call("INFO", "commandstats")).decode()
            command = "cmdstat_mget:" if name == "get" else "cmdstat_fcall:"
            (line,) = [line for line in told.splitlines() if line.startswith(command)]
            spent = int(line.partition("usec=")[2].partition(",")[0])
            least[name] = min(least.get(name, 1e9), spent / CALLS)

        for _ in range(TRIPS):
            for name in (*cycle, *again):
                await measured(name, getattr(hive, name))
        for name, spent in least.items():
            if not names or name in names:
                print(f"{name:10} {spent:6.1f} us")
        await driver.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
