"""How many trips under way serve many callers best: `python tests/scale/measure_trips.py STORE [TRIPS ...]`

STORE is postgres or redis. Stores that differ in nothing else, on one server of its own, do the workloads of
`hive-state bench` in short turns, so that what disturbs the machine disturbs all of them. Rates are medians
of the ratios of neighbouring turns. Needs a machine at rest: what two trips gain is the second core.
"""

from __future__ import annotations

import asyncio
import sys
from statistics import median

from hive_state_conformance.bench import Side
from hive_state_conformance.bench_store import StoreSide
from hive_state_conformance.workloads import WORKLOADS
from hive_state_core import open_store
from hive_state_core.choosing import choose
from hive_state_core.embedded import postgres_server, valkey_server

AGENTS, TURNS, TURN_S, REFILL = 100, 12, 0.25, 3000
SERVERS = {"postgres": postgres_server, "redis": valkey_server}
NAMES = ("get", "put", "cas", "enqueue", "claim_complete", "append")


async def new_side(url: str, workload: str, trips: int) -> Side:
    subject = StoreSide(choose(url))
    await subject.open()
    subject.store._trips.crowd.most = trips
    side = Side(subject, WORKLOADS[workload](subject, AGENTS))
    await side.workload.prepare()
    return side


async def measure(url: str, workload: str, variants: list[int]) -> None:
    sides = [await new_side(url, workload, trips) for trips in variants]
    for turn in range(TURNS):
        for side in sides if turn % 2 else reversed(sides):
            await side.workload.refill(REFILL)
            await side.run(TURN_S)
    for trips, side in zip(variants, sides, strict=True):
        ratio = median([rate / first for rate, first in zip(side.rates, sides[0].rates, strict=True)])
        print(
            f"{workload:14} {trips} trips: {side.ops_per_s:8,.0f}/s  x{ratio:4.2f}  cpu {side.cpu_us:5.1f} us"
        )
        await side.subject.close()


async def main(url: str, variants: list[int]) -> None:
    await open_store(url)._driver.schema("upgrade")
    for workload in NAMES:
        await measure(url, workload, variants)


if __name__ == "__main__":
    with SERVERS[sys.argv[1]]() as server:
        asyncio.run(main(server.url, list(map(int, sys.argv[2:])) or [1, 2]))
