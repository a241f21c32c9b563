"""`demo --migrate`: a hive of several processes moves to another store and back while its agents work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from hive_state_conformance.demo import Report, figures
from hive_state_conformance.demo_audit import audit
from hive_state_conformance.demo_crew import Crew, now, processes
from hive_state_conformance.demo_hive import ALL
from hive_state_conformance.demo_journey_live import View
from hive_state_conformance.demo_process import Orders
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.errors import Conflict
from hive_state_core.features import Consistency
from hive_state_core.migration.crossing import cross
from hive_state_core.migration.judging import against_switch, verify
from hive_state_core.migration.live import Live
from hive_state_core.migration.opening import live, prepare
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker
from hive_state_core.spi import ControlState, Kind
from hive_state_core.store import open_store

PROCESSES = 2
RECORDS = 10_000
"""Records of agents, so that the copy can be seen."""

THINK = 0.1
"""Seconds for which an agent does nothing between two calls, on an average: how busy the hive is does not
depend on how fast its store is."""

PERIODS = 4
"""Times that the hive works on undisturbed; they share the seconds that it is to work for."""

PATIENCE = 10.0
"""Seconds that what stands in the way of a switch may take to go away."""

Answer = TypeVar("Answer")


class Passed(msgspec.Struct, kw_only=True):
    """A step that was done: which, where the hive lived when it began, how long it took, and what the agents
    did meanwhile."""

    name: str
    lived_in: str
    seconds: float
    ops_per_s: float
    longest_ms: float


class Migration(msgspec.Struct, kw_only=True):
    """max_pause_ms  the longest single call that was under way during a switch, either way
    stale_reads   reads that gave another's record or an older one than had been acknowledged: to any process
                  if both stores are linearizable, else to the process that reads
    differences   entities that were not the same in both stores when they were compared
    rolled_back   whether the hive came back to the old store on the way
    """

    phases: list[Passed]
    max_pause_ms: float
    failed_calls: int
    lost: int
    duplicates: int
    stale_reads: int
    differences: int
    rolled_back: bool


class JourneyReport(Report, kw_only=True):
    migration: Migration

    @property
    def differs(self) -> bool:
        return bool(self.lost or self.duplicates or self.stale or self.migration.differences)


async def run(one: Choice, other: Choice, agents: int, seconds: float, view: View) -> JourneyReport:
    """From a store that is chosen by its name to another one; both are new, and left as they are then."""
    source, target = _together(one, other)
    with TemporaryDirectory(prefix="hive-state-demo-", ignore_cleanup_errors=True) as folder:
        orders = _orders(source, target, agents, Path(folder))
        async with processes(orders, PROCESSES, Path(folder)) as crew:
            await crew.begin()
            journey = Journey(source, target, crew, view, seconds / PERIODS)
            began = now()
            async with _watched(crew, view):
                await journey.go()
            took = now() - began
            told = await crew.end()
    async with open_store(journey.lives_in, janitor=False, follow=False) as seen:
        findings = await audit(seen, told)
    return JourneyReport(
        url=str(journey.lives_in.url),
        agents=agents,
        migration=Migration(
            phases=journey.passed,
            max_pause_ms=journey.max_pause_ms,
            failed_calls=len(told.errors),
            lost=findings.lost,
            duplicates=findings.duplicates,
            stale_reads=told.wrong_reads,
            differences=journey.differences,
            rolled_back=journey.rolled_back,
        ),
        **figures(told, took, findings),
    )


def _together(one: Choice, other: Choice) -> tuple[Choice, Choice]:
    """Both, in one configuration, as every process of the hive has it."""
    before, after = str(one.name), str(other.name)
    if before in other.config.stores:
        before += "-before"
    stores = {**other.config.stores, before: one.config.stores[str(one.name)]}
    config = Config({"stores": stores})
    return choose(before, config), choose(after, config)


def _orders(source: Choice, target: Choice, agents: int, folder: Path) -> Orders:
    levels = [open_store(choice, follow=False).features.consistency for choice in (source, target)]
    records, seen = max(RECORDS, agents), folder / "seen"
    seen.write_bytes(bytes(8 * records))
    return Orders(
        stores={name: dict(table) for name, table in source.config.stores.items()},
        use=str(source.name),
        agents=agents,
        records=records,
        share=ALL,
        think=THINK,
        seen=str(seen) if min(levels) is Consistency.LINEARIZABLE else None,
    )


@asynccontextmanager
async def _watched(crew: Crew, view: View) -> AsyncIterator[None]:
    async def look() -> None:
        while True:
            await asyncio.sleep(view.every)
            view.show(crew.figures)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


class Journey:
    """The steps, one after the other, and what is to be said of them. Each is what the command of that name
    does. `period`: seconds for which the hive works on undisturbed at a time."""

    def __init__(self, source: Choice, target: Choice, crew: Crew, view: View, period: float) -> None:
        self.passed: list[Passed] = []
        self.max_pause_ms = 0.0
        self.differences = 0
        self.rolled_back = False
        self.lives_in = source
        self._source = source
        self._target = target
        self._crew = crew
        self._view = view
        self._period = period

    async def go(self) -> None:
        """To the end; or until the stores differ, where the hive stays where it is."""
        await self._step("work", self._crew.rest(self._period))
        await self._step("prepare", prepare(self._source, self._target))
        async with live(self._source, self._target) as both:
            await both.capture()
            worker = Worker(both, lambda _, kind, count: self._tell(kind, count))
            await self._step("copy", worker.until(lambda seen: seen.phase is not Phase.DUAL))
            async with worker.beside():
                await self._there_back_and_there(both)

    async def _there_back_and_there(self, both: Live) -> None:
        if not await self._compare("compare", both):
            return
        await self._switch("switch", both)
        await self._step("work on", self._crew.rest(self._period))
        await self._roll_back(both)
        await self._step("work on", self._crew.rest(self._period))
        if not await self._compare("compare again", both):
            return
        await self._switch("switch again", both)
        await self._step("work on", self._crew.rest(self._period))
        if await self._compare("compare both ways", both):
            await self._step("complete", both.complete())

    async def _compare(self, name: str, both: Live) -> bool:
        """Whether nothing is wrong."""
        checked = await self._step(name, verify(both, self._tell))
        self.differences += len(checked.wrong)
        return checked.clean

    async def _switch(self, name: str, both: Live) -> None:
        await self._unhindered(both)
        await both.require_job(Phase.VERIFIED)
        await self._cross(name, cross(both), self._target)

    async def _roll_back(self, both: Live) -> None:
        await both.distrust()
        await self._cross("roll back", cross(both, back=True), self._source)
        self.rolled_back = (await both.source.control()).state is ControlState.OPEN

    async def _cross(self, name: str, crossing: Awaitable[object], to: Choice) -> None:
        await self._step(name, self._crossed(crossing, to))
        self.max_pause_ms = max(self.max_pause_ms, self.passed[-1].longest_ms)

    async def _crossed(self, crossing: Awaitable[object], to: Choice) -> None:
        """Until every call has come back that waited for it."""
        await crossing
        self.lives_in = to
        await self._crew.past(now())

    async def _unhindered(self, both: Live) -> None:
        """Raises Conflict if it takes too long."""
        until = now() + PATIENCE
        while obstacles := await against_switch(both, await both.look()):
            if now() > until:
                raise Conflict(f"the hive cannot switch: {obstacles[0]}", key="the switch")
            await self._crew.rest(0.1)

    async def _step(self, name: str, doing: Awaitable[Answer]) -> Answer:
        """Do it, and remember what the agents did meanwhile."""
        began, before, lived_in = now(), self._crew.figures.operations, str(self.lives_in.name)
        self._crew.forget()
        self._view.begin(name, lived_in)
        answer = await doing
        seconds, after = now() - began, self._crew.figures
        passed = Passed(
            name=name,
            lived_in=lived_in,
            seconds=round(seconds, 3),
            ops_per_s=round((after.operations - before) / seconds, 1),
            longest_ms=round(after.longest * 1000, 1),
        )
        self.passed.append(passed)
        self._view.end(passed)
        return answer

    def _tell(self, kind: Kind, count: int) -> None:
        self._view.progress = f"{count:,} of kind {kind}"
