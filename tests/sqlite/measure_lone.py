"""What a lone caller's writes take on SQLite, beside the hand-written ones: microseconds, and pages of log.

    python tests/sqlite/measure_lone.py

Calls are timed one by one, in turns of `TURN`. Low quantiles tell of the path itself, where a busy machine
adds to the median only.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from hive_state_conformance.bench_store import StoreSide
from hive_state_conformance.workloads import WORKLOADS
from hive_state_conformance.workloads_base import Workload
from hive_state_core.baselines import Baseline
from hive_state_core.choosing import choose
from hive_state_sqlite import trip
from hive_state_sqlite.baseline import SqliteBaseline

TURNS = 60
TURN = 40
WARM_UP = 5
"""Calls at the beginning of a turn that are not counted."""

QUANTILES = (0.1, 0.25, 0.5)
FRAME = 4096 + 24
MEASURED = ("put", "cas", "enqueue", "claim_complete", "append")


class Side:
    def __init__(self, subject: Baseline, workload: Workload) -> None:
        self.subject = subject
        self.workload = workload
        self.took: list[float] = []

    async def turn(self) -> None:
        for number in range(TURN + WARM_UP):
            start = perf_counter()
            await self.workload.step(0)
            if number >= WARM_UP:
                self.took.append((perf_counter() - start) * 1e6)


async def _sides(folder: str, workload: str, exits: AsyncExitStack) -> list[Side]:
    choice = choose(f"sqlite:///{folder}/{workload}.db?synchronous=FULL")
    assert choice.backend.baseline is not None
    found = []
    for subject in (choice.backend.baseline(choice.url), StoreSide(choice)):
        exits.push_async_callback(subject.close)
        await subject.open()
        side = Side(subject, WORKLOADS[workload](subject, 1))
        await side.workload.prepare()
        await side.workload.refill(TURNS * (TURN + WARM_UP) + 1000)
        found.append(side)
    return found


async def _time(folder: str, workload: str) -> None:
    async with AsyncExitStack() as exits:
        raw, ours = sides = await _sides(folder, workload, exits)
        for _ in range(TURNS):
            for side in sides:
                await side.turn()
        line = f"{workload:15}"
        for place in QUANTILES:
            theirs, mine = (sorted(side.took)[int(len(side.took) * place)] for side in (raw, ours))
            line += f"   p{place * 100:.0f} {theirs:5.0f} {mine:5.0f} {theirs / mine:.2f}"
        print(line, [await side.workload.verdict() for side in sides], flush=True)


async def _pages(folder: str, workload: str) -> None:
    async with AsyncExitStack() as exits:
        line = f"{workload:15}"
        for side in await _sides(folder, workload, exits):
            if isinstance(side.subject, SqliteBaseline):
                await side.subject._db.execute_fetchall("PRAGMA wal_autocheckpoint = 0")
                await side.subject._db.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
                log = Path(f"{side.subject._path}-wal")
            else:
                log = Path(f"{folder}/{workload}.db-wal")
            before = log.stat().st_size
            await side.turn()
            line += f" {(log.stat().st_size - before) / FRAME / (TURN + WARM_UP):6.2f}"
        print(line, flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("microseconds: by hand, ours, ratio")
        for workload in MEASURED:
            await _time(folder, workload)
    with tempfile.TemporaryDirectory() as folder:
        print("pages of log for each operation: by hand, ours")
        trip.CHECKPOINT_PAGES = trip.LONE_PAGES = 10**9  # the log only grows
        for workload in MEASURED:
            await _pages(folder, workload)


if __name__ == "__main__":
    asyncio.run(main())
