"""What writes cost while what they change is marked: `python tests/scale/capture_cost.py URL [SECONDS]`.

A hundred callers put records for some seconds, in turns without a sink, with that of a peer and with that of
a cache, on the same store. Nobody clears the marks meanwhile.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.spi import CACHE, PEER

CALLERS = 100


async def puts(hive: Store, seconds: float) -> tuple[float, float]:
    """(puts a second, median milliseconds)"""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def call(caller: int) -> None:
        while (begun := time.perf_counter()) < until:
            await hive.records.put("c", f"{caller}-{len(taken) % 50}", {"n": len(taken)})
            taken.append(time.perf_counter() - begun)

    await asyncio.gather(*map(call, range(CALLERS)))
    return len(taken) / seconds, statistics.median(taken) * 1000


async def capture(hive: Store, *sinks: str) -> None:
    row = await hive.replication().control()
    await hive.replication().control(row.epoch, replace(row, sinks=frozenset(sinks)))


async def main(url: str, seconds: float) -> None:
    async with open_store(url, janitor=False) as hive:
        await puts(hive, 1)
        for _ in range(5):
            await capture(hive)
            off, off_ms = await puts(hive, seconds)
            line = f"none {off:7,.0f}/s {off_ms:6.2f} ms"
            for sink in (PEER, CACHE):
                await capture(hive, sink)
                on, on_ms = await puts(hive, seconds)
                line += f"   {sink} {on:7,.0f}/s {on_ms:6.2f} ms, {on / off:4.0%}"
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 2.0))
