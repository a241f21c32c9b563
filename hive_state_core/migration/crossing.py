"""The switch: the store that is left is sealed, drained and left, and the other one opens. Both ways alike.

    seal    nobody writes any more; callers wait
    drain   what is still marked is sent, and read back
    synced  a note in the other store says that it has everything
    decide  the store is left, by compare-and-set; it refuses while a mark is there
    open    the consequence, which anybody may draw

Until it is decided, everything ends in the hive going on where it was. From then on it is gone through with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from hive_state_core.errors import Conflict, Sealed, StoreMoved, Unavailable
from hive_state_core.migration.failpoints import reached
from hive_state_core.migration.findings import change_findings
from hive_state_core.migration.grace import lengthen
from hive_state_core.migration.handover import SYNCED, finish, synced
from hive_state_core.migration.leasing import Lease
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Job
from hive_state_core.migration.pumping import PAGE, Pump
from hive_state_core.migration.sealing import unseal
from hive_state_core.migration.switching import next_term
from hive_state_core.spi import Control, ControlState, Replication, Warming

AHEAD = 60.0
"""Seconds for which it is tried to have no more than a page of marks left, before the seal."""

FEW = 50
"""Marks that are few."""

TRIES = 10
"""Rounds of less than a page in which it is tried to come down to few."""

Answer = TypeVar("Answer")


class Crossed(msgspec.Struct, frozen=True, kw_only=True):
    """sealed_ms  for so long nobody could write
    drained    marks that were sent meanwhile
    steps      milliseconds of each step; `ahead` is what goes before the seal
    """

    sealed_ms: float
    drained: int
    steps: dict[str, float]


class NotDrained(Unavailable):
    """The switch took too long, or found something wrong; the hive goes on where it was."""

    code = "not_drained"


async def cross(live: Live, *, back: bool = False) -> Crossed:
    """To the target, or with `back` to the source again. The hive lives in the other one.

    Raises NotDrained, Conflict (somebody else was faster, or gave it up), Unavailable.
    """
    job, seen = await live.require_job()
    lease = Lease(live.source)
    await lease.take()
    try:
        crossed = await _Crossing(job, live, seen.source if back else seen.target, back).run(lease)
        await change_findings(live.source, lambda old: replace(old, given_up=0))
        return crossed
    except NotDrained:
        await change_findings(live.source, lambda old: replace(old, given_up=old.given_up + 1))
        raise
    finally:
        await lease.release()


class _Crossing:
    """`source` and `target` are those of this crossing: on the way back the other way round.

    to  the control row of the target
    """

    def __init__(self, job: Job, live: Live, to: Control, back: bool) -> None:
        self._job = job
        self._left, self._entered = live.drivers[::-1] if back else live.drivers
        self._source: Replication = live.target if back else live.source
        self._target: Replication = live.source if back else live.target
        self._pump = Pump(self._source, self._target, to)
        self._steps: dict[str, float] = {}

    async def run(self, lease: Lease) -> Crossed:
        with self._timed("ahead"):
            try:
                await lengthen(self._left, self._source, self._job.budget)
            except (Sealed, StoreMoved) as error:
                raise Conflict("somebody else switches, or did already", key="the control row") from error
            await _catch_up(self._pump, lease)
            if isinstance(self._entered, Warming):  # also with what it was just sent
                await self._entered.warm()
                await _catch_up(self._pump, lease)
            await reached("switch: caught up")
        with self._timed("seal"):
            sealed = await _seal(self._source, self._target)
        drained = await self._send_rest(sealed)
        await _to_the_end(self._decide(sealed))
        sealed_ms = sum(self._steps.values()) - self._steps["ahead"]
        return Crossed(sealed_ms=sealed_ms, drained=drained, steps=self._steps)

    async def _send_rest(self, sealed: Control) -> int:
        """How many marks that were. Whatever goes wrong, the hive goes on where it was."""
        budget = self._job.budget
        try:
            await reached("switch: sealed")
            with self._timed("drain"):
                async with asyncio.timeout(budget):
                    drained = await _drain(self._pump)
            await reached("switch: drained")
            with self._timed("note"):
                await self._target.note({SYNCED: synced(sealed)})
            await reached("switch: synced")
        except BaseException as error:
            await _to_the_end(_give_up(self._source, sealed))
            if isinstance(error, TimeoutError):
                raise NotDrained(
                    f"what was written did not reach the other store within {budget:g} s: the hive goes on"
                    " where it was; try again, with a larger --budget if need be"
                ) from None
            raise
        return drained

    async def _decide(self, sealed: Control) -> None:
        moved = replace(sealed, state=ControlState.MOVED, sinks=frozenset())
        with self._timed("decide"):
            await self._source.control(sealed.epoch, moved)
        await reached("switch: moved")
        with self._timed("open"):
            await finish(self._source, self._target)
        await reached("switch: opened")

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self._steps[step] = round((perf_counter() - began) * 1000, 1)


async def _catch_up(pump: Pump, lease: Lease) -> None:
    """Send until few are left: what is left is what writers wait for. A busy hive marks more meanwhile."""
    until, tries = perf_counter() + AHEAD, 0
    while (sent := await pump.round()) > FEW and tries < TRIES:
        await lease.hold()
        tries += sent < PAGE
        if perf_counter() > until:
            raise NotDrained(
                "more is written than reaches the other store: let the hive do less, or pump from more"
                " processes"
            )


async def _seal(source: Replication, target: Replication) -> Control:
    row, other = await source.control(), await target.control()
    if row.state is not ControlState.OPEN:
        raise Conflict(f"the store is {row.state.value}: somebody else switches", key="the control row")
    return await source.control(
        row.epoch, replace(row, state=ControlState.SEALED, term=next_term(row, other))
    )


async def _drain(pump: Pump) -> int:
    drained = 0
    while sent := await pump.round():
        drained += sent
    if pump.stuck:
        first, why = next(iter({**pump.poison, **pump.wrong}.items()))
        raise NotDrained(
            f"{pump.stuck} could not be sent, the first is {first}: {why}; the hive goes on where it was"
        )
    return drained


async def _give_up(source: Replication, sealed: Control) -> None:
    try:
        await unseal(source, sealed)
    except Conflict:  # somebody else did, or decided
        return


async def _to_the_end(doing: asyncio.Future[Answer] | object) -> Answer:
    """Gone through with also if we are cancelled: the stores may be closed next."""
    task: asyncio.Future[Answer] = asyncio.ensure_future(doing)  # type: ignore[arg-type]
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
