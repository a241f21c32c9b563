"""`python tests/scale/live_move.py RECORDS AGENTS`: what a live move costs those who work meanwhile.

A hive on a new SQLite file, with so many records and a fifth as many tasks, moves to a PostgreSQL from the
wheel, back, and there again, while the agents update their records, enqueue, claim and complete. Prints the
median and the longest call before the move, while it is under way, and around each switch; and whether both
stores are equal in the end. Agents, worker and server share this machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from tempfile import TemporaryDirectory

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.embedded import postgres_server
from hive_state_core.migration.crossing import cross
from hive_state_core.migration.judging import verify
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.opening import live, prepare
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker, silent

PERIOD = 4.0


class Agents:
    def __init__(self, hive: Store, records: int) -> None:
        self.hive = hive
        self.records = records
        self.calls: list[float] = []
        self.failed = 0
        self.stopped = False

    async def run(self, number: int) -> None:
        name = f"agent-{number}"
        while not self.stopped:
            await self.timed(self.hive.records.put("agents", name, {"at": time.time()}))
            await self.timed(self.hive.tasks.enqueue("live", {"by": name}))
            for lease in await self.timed(self.hive.tasks.claim("live", worker=name)) or ():
                await self.timed(self.hive.tasks.complete(lease))

    async def timed(self, call: Awaitable[object]) -> object:
        began = time.perf_counter()
        try:
            return await call
        except Exception as error:
            self.failed += 1
            print("failed:", repr(error))
            return None
        finally:
            self.calls.append(time.perf_counter() - began)

    async def period(self, what: str, during: Awaitable[object] | None = None) -> None:
        """Print what calls took while something was done, for PERIOD seconds at least."""
        self.calls.clear()
        began = time.perf_counter()
        told = await during if during is not None else ""
        await asyncio.sleep(max(1.0, PERIOD - (time.perf_counter() - began)))  # who waited ends too
        seconds, calls = time.perf_counter() - began, sorted(self.calls)
        print(
            f"{what:<28} {seconds:6.1f} s {len(calls) / seconds:8,.0f} calls/s"
            f"  p50 {statistics.median(calls) * 1000:6.1f} ms  longest {calls[-1] * 1000:7.1f} ms  {told}",
            flush=True,
        )


async def main(records: int, agents: int) -> None:
    with TemporaryDirectory() as folder, postgres_server() as server:
        pair = {"backend": "dual-write", "primary": "local", "secondary": "prod"}
        stores = {
            "local": {"url": f"sqlite:///{folder}/hive.db"},
            "prod": {"url": server.url},
            "moving": pair,
        }
        config = Config({"stores": stores})
        await fill(choose("local", config), records)
        await move(config, records, agents)
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


async def move(config: Config, records: int, count: int) -> None:
    source, target = choose("local", config), choose("prod", config)
    async with open_store(choose("moving", config), janitor=False) as hive:
        agents = Agents(hive, records)
        work = [asyncio.create_task(agents.run(number)) for number in range(count)]
        await agents.period("before")
        await prepare(source, target)
        async with live(source, target) as both:
            await both.capture()
            worker = Worker(both)
            await agents.period("copying", copied(worker))
            await worker.release()
            await agents.period("sent on")
            await agents.period("compared", compared(both))
            for what in ("switch", "back", "switch again"):
                await agents.period(what, cross(both, back=what == "back"))
        agents.stopped = True
        await asyncio.gather(*work)
        print(f"failed calls: {agents.failed}")
        async with live(source, target) as both:
            worker = Worker(both)
            while await both.target.marks("peer", 1):
                await worker.turn()
        print("equal in the end:", await exported(source) == await exported(target))


async def copied(worker: Worker) -> str:
    await worker.until(lambda seen: seen.phase is not Phase.DUAL)
    return ""


async def compared(both: object) -> str:
    checked = await verify(both, silent)  # type: ignore[arg-type]
    return f"{sum(checked.compared.values()):,} images, clean: {checked.clean}"


async def exported(choice: Choice) -> bytes:
    async with open_store(choice, janitor=False, follow=False) as hive:
        return b"".join([line async for line in export_lines(hive.replication())])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
