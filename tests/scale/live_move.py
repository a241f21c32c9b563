"""`python tests/scale/live_move.py RECORDS AGENTS`: what a live move costs those who work meanwhile.

A hive on a new SQLite file, with so many records and a fifth as many tasks, moves to a PostgreSQL from the
wheel, back, and there again, by `hive-state migrate`, while agents of the demo work without a pause and only
write: they update their records by compare-and-set, enqueue, claim, and complete with an effect record in one
unit. Prints the median and the longest call before the move, while it is under way, and around each switch;
what the audit of the demo found; and whether both stores are equal in the end. Agents, commands and server
share this machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hive_state_conformance.demo_audit import audit
from hive_state_conformance.demo_hive import Agent, Hive
from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.embedded import postgres_server
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.opening import live
from hive_state_core.migration.phases import Phase, read_job
from hive_state_core.migration.working import Worker
from hive_state_core.spi import PEER

PERIOD = 4.0
SAMPLE = 5000
"""Calls of which a median is made, about."""

READS = 0.6
"""Of what an agent of the demo does."""

CONFIG = """
[stores.local]
url = "sqlite:///hive.db"
[stores.prod]
url = "{url}"
[stores.moving]
backend = "dual-write"
primary = "local"
secondary = "prod"
"""


class Writer(Agent):
    """Does what agents do, but for reading."""

    def _choose(self, chance: float) -> Callable[[], Awaitable[None]]:
        return super()._choose(READS + (1 - READS) * chance)


class Writers(Hive):
    def __init__(self, store: Store, agents: int) -> None:
        super().__init__(store, agents, agents)
        self.agents = [Writer(self, number) for number in range(agents)]

    async def period(self, what: str, during: Awaitable[object] | None = None) -> None:
        """Print what calls took while something was done, for PERIOD seconds at least. The median of very
        many is that of a sample: to sort them all would itself be what the agents wait for."""
        before = {kind: len(taken) for kind, taken in self.latencies.items()}
        self.longest = 0.0
        began = time.perf_counter()
        told = await during if during is not None else ""
        await asyncio.sleep(max(1.0, PERIOD - (time.perf_counter() - began)))  # who waited ends too
        seconds, longest = time.perf_counter() - began, self.longest
        calls = sum(len(taken) - before[kind] for kind, taken in self.latencies.items())
        each = calls // SAMPLE + 1
        some = [took for kind, taken in self.latencies.items() for took in taken[before[kind] :: each]]
        print(
            f"{what:<14} {seconds:6.1f} s {calls / seconds:8,.0f} calls/s"
            f"  p50 {statistics.median(some) * 1000:6.1f} ms  longest {longest * 1000:7.1f} ms  {told}",
            flush=True,
        )


async def main(records: int, agents: int) -> None:
    with TemporaryDirectory() as folder, postgres_server() as server:
        config = Path(folder, "hive-state.toml")
        config.write_text(CONFIG.format(url=server.url))
        source, target = choose("local", config), choose("prod", config)
        await open_store(target).upgrade_schema()
        await fill(source, records)
        await move(choose("moving", config), source, folder, agents)
        await compare(source, target)
        size = Path(folder, "hive.db").stat().st_size
        print(f"{records:,} records and {records // 5:,} tasks, {size / 2**20:,.0f} MiB on SQLite at the end")


async def fill(choice: Choice, records: int) -> None:
    async with open_store(choice, janitor=False) as hive:
        for start in range(0, records, 1000):
            await hive.records.put_many(
                "data", {f"{n}": {"n": n, "text": "x" * 200} for n in range(start, start + 1000)}
            )
        for start in range(0, records // 5, 1000):
            await hive.tasks.enqueue_many("rest", list(range(start, start + 1000)))


async def move(moving: Choice, source: Choice, folder: str, agents: int) -> None:
    async with open_store(moving, janitor=False) as store:
        hive = Writers(store, agents)
        await hive.prepare()
        working = asyncio.create_task(hive.work())
        await hive.period("before")
        starting = asyncio.create_task(started(folder))
        await hive.period("copying", copied(source))
        await hive.period("compared", starting)
        await hive.period("sent on")
        async with sending(folder):
            await hive.period("sent on apart")
        for what, command in (("switch", ()), ("rollback", ()), ("switch", ("--force",))):
            await hive.period(what, crossed(folder, what, *command))
        hive.stop()
        await working
        found = await audit(store, hive.told())
    print(
        f"{len(hive.errors)} calls failed; {found.lost} lost, {found.duplicates} done twice,"
        f" {found.torn} torn, {found.stale} stale; {len(hive.enqueued):,} tasks enqueued,"
        f" {found.completed:,} completed"
    )
    for error in hive.errors[:3]:
        print("failed:", repr(error))


async def migrate(folder: str, *words: str) -> Any:
    """What the command prints as JSON."""
    command = (sys.executable, "-m", "hive_state_core.cli", "migrate", *words, "--json")
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {said.decode()}")
    return json.loads(said)


async def started(folder: str) -> str:
    """Until all was copied and compared."""
    return str((await migrate(folder, "start", "--from", "local", "--to", "prod"))["phase"])


async def copied(source: Choice) -> str:
    """Until that is so."""
    async with open_store(source, janitor=False, follow=False) as hive:
        phases = (None, Phase.PREPARED, Phase.DUAL)
        while (job := await read_job(hive.replication())) is None or job.phase in phases:
            await asyncio.sleep(0.2)
    return ""


async def crossed(folder: str, what: str, *words: str) -> Any:
    return await migrate(folder, what, "--from", "local", "--to", "prod", *words)


@asynccontextmanager
async def sending(folder: str) -> AsyncIterator[None]:
    """By a process that does nothing else."""
    words = ("migrate", "run", "--from", "local", "--to", "prod", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hive_state_core.cli", *words, cwd=folder, stdout=PIPE
    )
    try:
        await asyncio.sleep(2)
        yield
    finally:
        process.terminate()
        await process.wait()


async def compare(source: Choice, target: Choice) -> None:
    async with live(source, target) as both:
        worker = Worker(both)
        while await both.target.marks(PEER, 1):
            await worker.turn()
    print("equal in the end:", await exported(source) == await exported(target))


async def exported(choice: Choice) -> bytes:
    async with open_store(choice, janitor=False, follow=False) as hive:
        return b"".join([line async for line in export_lines(hive.replication())])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
