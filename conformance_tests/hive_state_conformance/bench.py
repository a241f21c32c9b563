"""`bench`: many agents in one process, each awaiting one operation after the other, for some seconds.

With `raw` the hand-written baseline does the same work in turns with the store: what disturbs the machine
disturbs both. Rates are medians over the turns, the ratio is that of the rates of two turns side by side; CPU
and latencies are of all turns.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import metadata
from statistics import median, quantiles
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from hive_state_conformance.bench_store import StoreSide
from hive_state_conformance.latency import latency_of
from hive_state_conformance.workloads import WORKLOADS
from hive_state_conformance.workloads_base import Workload
from hive_state_core._version import __version__
from hive_state_core.baselines import Baseline
from hive_state_core.choosing import Choice, choose
from hive_state_core.plugins import Backend

TURN = 0.1
"""Seconds, about: a machine that others use changes its pace within less than one."""

FEWEST_TURNS = 6
"""Of each side in one row, however short they are."""

WARM_UP = 0.3
"""Seconds before the first turn, at most."""

AMPLE = 1.5
"""Tasks that wait before a turn, as a multiple of what the quicker side can do in it."""


class Row(msgspec.Struct, kw_only=True):
    """One workload on one store. `cpu_us`: of the whole process, per operation. `ratio`: to the raw rate, a
    median of turns, of which half gave one from `ratio_low` to `ratio_high`.

    The raw figures are left out if they were not asked for, and None if the backend has no baseline.
    """

    url: str
    backend: str
    workload: str
    agents: int
    operations: int
    ops_per_s: float
    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    invariant: str
    raw_ops_per_s: float | UnsetType | None = UNSET
    raw_cpu_us: float | UnsetType | None = UNSET
    raw_p50_ms: float | UnsetType | None = UNSET
    raw_p99_ms: float | UnsetType | None = UNSET
    ratio: float | UnsetType | None = UNSET
    ratio_low: float | UnsetType | None = UNSET
    ratio_high: float | UnsetType | None = UNSET


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a row measures. `seconds`: of each side, in all."""

    store: Choice
    workload: str
    agents: int
    seconds: float
    raw: bool = False


class Side:
    """The store or its baseline, and what was measured of it."""

    def __init__(self, subject: Baseline, workload: Workload) -> None:
        self.subject = subject
        self.workload = workload
        self.latencies: list[float] = []
        self.rates: list[float] = []
        self.cpu = 0.0

    async def run(self, seconds: float) -> float:
        """One turn; its rate."""
        done = len(self.latencies)
        gc.collect()
        cpu, start = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for agent in range(self.workload.agents):
                group.create_task(self._agent(agent, start + seconds))
        elapsed = time.perf_counter() - start
        self.cpu += time.process_time() - cpu
        self.rates.append((len(self.latencies) - done) / elapsed)
        return self.rates[-1]

    def forget(self) -> None:
        """What was measured so far was the warm-up."""
        self.latencies, self.rates, self.cpu = [], [], 0.0

    async def _agent(self, agent: int, deadline: float) -> None:
        step, clock, keep = self.workload.step, time.perf_counter, self.latencies.append
        begin = clock()
        while begin < deadline and await step(agent):
            end = clock()
            keep(end - begin)
            begin = end

    @property
    def ops_per_s(self) -> float:
        return round(median(self.rates), 1)

    @property
    def cpu_us(self) -> float:
        return round(self.cpu / max(1, len(self.latencies)) * 1e6, 2)


async def measure(job: Job, about: dict[str, Any]) -> Row:
    """Run one job; `about` is given the settings of what was measured."""
    backend, url = job.store.backend, job.store.url
    rival = _rival(job) if job.raw else None
    async with AsyncExitStack() as exits:
        raw = None if rival is None else await _side(rival, job, exits)
        ours = await _side(StoreSide(job.store), job, exits)
        sides = [ours] if raw is None else [raw, ours]
        about[str(url)] = {"store": await ours.subject.about()}
        if raw is not None:
            about[str(url)]["raw"] = await raw.subject.about()
        await _take_turns(sides, job.seconds)
        verdicts = [await side.workload.verdict() for side in sides]
    return _row(job, backend, ours, raw, verdicts)


def _rival(job: Job) -> Baseline | None:
    """What the store is compared with: its baseline; if it is made of others, what its backend says."""
    backend, url = job.store.backend, job.store.url
    if backend.rival is None:
        return backend.baseline and backend.baseline(url)
    rival = backend.rival(url, job.workload)
    part = choose(rival.store, job.store.config)
    if not rival.by_hand:
        return StoreSide(part)
    return part.backend.baseline and part.backend.baseline(part.url)


async def _side(subject: Baseline, job: Job, exits: AsyncExitStack) -> Side:
    exits.push_async_callback(subject.close)
    await subject.open()
    side = Side(subject, WORKLOADS[job.workload](subject, job.agents))
    await side.workload.prepare()
    return side


async def _take_turns(sides: Sequence[Side], seconds: float) -> None:
    """Each side `seconds` in all. Who begins changes from turn to turn."""
    turns = max(FEWEST_TURNS, round(seconds / TURN))
    best = 0.0
    for side in sides:
        await side.workload.refill(1000)
        best = max(best, await side.run(min(WARM_UP, seconds / FEWEST_TURNS)))
        side.forget()
    gc.collect()
    gc.freeze()  # what a workload holds to check the store with is looked through at no turn
    try:
        for number in range(turns):
            for side in sides if number % 2 == 0 else reversed(sides):
                await side.workload.refill(int(best * seconds / turns * AMPLE))
                best = max(best, await side.run(seconds / turns))
    finally:
        gc.unfreeze()


def _row(job: Job, backend: Backend, ours: Side, raw: Side | None, verdicts: list[str]) -> Row:
    latency = latency_of(ours.latencies)
    row = Row(
        url=str(job.store.url),
        backend=backend.name,
        workload=job.workload,
        agents=job.agents,
        operations=len(ours.latencies),
        ops_per_s=ours.ops_per_s,
        cpu_us=ours.cpu_us,
        p50_ms=latency.p50,
        p95_ms=latency.p95,
        p99_ms=latency.p99,
        max_ms=latency.max,
        invariant=_verdict(verdicts),
    )
    if job.raw:
        _add_raw(row, ours, raw)
    return row


def _verdict(verdicts: list[str]) -> str:
    """Of the store, and of the baseline before it if there is one."""
    *raw, ours = verdicts
    broken = [f"the baseline: {verdict}" for verdict in raw if verdict != "ok"]
    return "; ".join([ours, *broken] if ours != "ok" or not broken else broken)


def _add_raw(row: Row, ours: Side, raw: Side | None) -> None:
    if raw is None:
        row.raw_ops_per_s = row.raw_cpu_us = row.raw_p50_ms = row.raw_p99_ms = None
        row.ratio = row.ratio_low = row.ratio_high = None
        return
    latency = latency_of(raw.latencies)
    row.raw_ops_per_s, row.raw_cpu_us = raw.ops_per_s, raw.cpu_us
    row.raw_p50_ms, row.raw_p99_ms = latency.p50, latency.p99
    row.ratio_low, row.ratio, row.ratio_high = ratios(ours.rates, raw.rates)


def ratios(ours: Sequence[float], raw: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Quartiles of the ratios of two turns side by side; None where too few of the others did anything."""
    ratios = [mine / theirs for mine, theirs in zip(ours, raw, strict=True) if theirs]
    if len(ratios) < 2:
        return None, None, None
    low, middle, high = quantiles(ratios, n=4)
    return round(low, 2), round(middle, 2), round(high, 2)


def environment(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "hive_state": __version__,
        "libraries": _libraries(),
        "stores": dict(about),
    }


def _libraries() -> dict[str, str]:
    """Versions of what hive-state depends on and is installed, extras too."""
    found: dict[str, str] = {}
    for requirement in metadata.requires("hive-state") or ():
        matched = re.match(r"[A-Za-z0-9._-]+", requirement)
        try:
            if matched is not None and matched[0] != "hive-state":
                found[matched[0]] = metadata.version(matched[0])
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
