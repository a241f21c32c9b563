"""`demo`: a hive of agents at work on one store for some seconds, and an audit of what is there afterwards.

What the agents do is said in `demo_hive`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import msgspec

from hive_state_conformance.demo_audit import Findings, audit
from hive_state_conformance.demo_hive import WORKLOAD, Hive, Told
from hive_state_conformance.harness import driver_of
from hive_state_conformance.latency import Latency, latency_in
from hive_state_conformance.workloads_scratch import scratch, witness
from hive_state_core.choosing import Choice


class Report(msgspec.Struct, kw_only=True):
    """`tasks_enqueued`, `operations` and `errors` are what the agents know, the rest was read from the store.

    lost        acknowledged tasks that are in no state
    duplicates  tasks with more than one effect record
    torn        units of which only a part is there: a completed task without an effect record, an effect of
                a task that is not completed, or an acknowledged completion that is gone
    cache_hit_ratio  of the reads of single records, from 0 to 1; None for a store without a cache
    stale       records that are not what their agent wrote last, and reads that gave another's record, or an
                older one than had been seen
    """

    url: str
    workload: str
    agents: int
    seconds: float
    operations: int
    ops_per_s: float
    tasks_enqueued: int
    tasks_completed: int
    lost: int
    duplicates: int
    torn: int
    stale: int
    errors: int
    first_error: str | None
    latency_ms: dict[str, Latency]
    cache_hit_ratio: float | None = None

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicates or self.torn or self.stale or self.errors)


Watch = Callable[[Hive, float], None]
"""Is shown the hive and the seconds since its start, now and then."""


async def run(
    where: str | Choice, agents: int, seconds: float, watch: Watch | None = None, every: float = 1.0
) -> Report:
    """The whole demo, in a namespace of its own that is dropped afterwards."""
    async with scratch(where, "demo") as store:
        hive = Hive(store, agents)
        await hive.prepare()
        async with _watched(hive, watch, every):
            took = await hive.work(seconds)
        cache = (await driver_of(store).stats()).cache
        told = hive.told()
        async with witness(where, store) as seen:
            findings = await audit(seen, told)
    hit_ratio = round(cache.hit_ratio, 4) if cache and cache.hit_ratio is not None else None
    return Report(
        url=str(store.url), agents=agents, cache_hit_ratio=hit_ratio, **figures(told, took, findings)
    )


@asynccontextmanager
async def _watched(hive: Hive, watch: Watch | None, every: float) -> AsyncIterator[None]:
    async def look() -> None:
        start = perf_counter()
        while watch is not None:
            await asyncio.sleep(every)
            watch(hive, perf_counter() - start)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def figures(told: Told, took: float, findings: Findings) -> dict[str, Any]:
    """What a `Report` says of the work that agents did, and of what the store holds."""
    return {
        "workload": WORKLOAD,
        "seconds": round(took, 3),
        "operations": told.operations,
        "ops_per_s": round(told.operations / took, 1),
        "tasks_enqueued": len(told.enqueued),
        "tasks_completed": findings.completed,
        "lost": findings.lost,
        "duplicates": findings.duplicates,
        "torn": findings.torn,
        "stale": findings.stale,
        "errors": len(told.errors),
        "first_error": told.errors[0] if told.errors else None,
        "latency_ms": {kind: latency_in(found) for kind, found in told.took.items()},
    }
