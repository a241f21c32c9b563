"""The work between the steps of a live migration: the copy, and the sending on of what changes.

Any process that has both stores open may do it. They take turns by a lease, see `leasing`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from hive_state_core.errors import Closed, Conflict, HiveStateError, SchemaMismatch
from hive_state_core.migration.copying import Pace, copy
from hive_state_core.migration.findings import add_stuck
from hive_state_core.migration.guarding import Guard
from hive_state_core.migration.handover import finish
from hive_state_core.migration.job import read_cursor
from hive_state_core.migration.judging import oldest_mark_ms
from hive_state_core.migration.leasing import LOOK, Lease
from hive_state_core.migration.live import Live
from hive_state_core.migration.pacing import Gathering, Rhythm
from hive_state_core.migration.phases import Job, Phase, Situation, read_job
from hive_state_core.migration.progress import Recorder
from hive_state_core.migration.pumping import Pump
from hive_state_core.migration.sealing import Impatience
from hive_state_core.spi import Control, ControlState, Kind

IDLE = 0.05
"""Seconds of rest after a round, at least."""

PAGE = 1000
"""Marks in a round."""

Tell = Callable[[str, Kind, int], None]

log: logging.Logger = logging.getLogger("hive_state")


def silent(*_: object) -> None:
    """A `Tell` that tells nobody."""


class Worker:
    """Of one process. `run` works until it is cancelled, `until` a condition holds."""

    def __init__(self, live: Live, tell: Tell = silent) -> None:
        self._live = live
        self._tell = tell
        self._lease = Lease(live.source)
        self._impatience = Impatience()
        self._pump: tuple[tuple[str, int], Pump] | None = None
        self._rhythm = Rhythm()
        self._gathering = Gathering(PAGE)
        self._guard = Guard(live)
        self._phase = Phase.LEGACY

    @property
    def sends(self) -> bool:
        """Whether what changes is sent on, as seen last."""
        return self._phase in _BUSY and self._phase is not Phase.DUAL

    async def run(self) -> None:
        """Never ends by itself: what goes wrong is logged, and tried again. Raises SchemaMismatch once a
        store was dropped, Closed once it was closed."""
        troubled = False
        while True:
            try:
                if not await self.turn():
                    await asyncio.sleep(LOOK)
                troubled = False
            except (SchemaMismatch, Closed):
                raise
            except HiveStateError as error:
                if not troubled:
                    log.warning("the hive is not moved on for now: %s", error)
                troubled = True
                await self._watch_trouble()
                await asyncio.sleep(LOOK)

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """`run`, beside something else."""
        running = asyncio.create_task(self.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def _watch_trouble(self) -> None:
        try:
            await self._guard.troubled()
        except HiveStateError as error:
            log.debug("nor is it watched: %s", error)

    async def until(
        self, done: Callable[[Situation], bool], paused: Callable[[Job], None] = lambda _: None
    ) -> Situation:
        """Work until that is so, in the place of those processes that have other work too. Raises what goes
        wrong. `paused` is told each time that the migration was paused, and waits to be resumed."""
        if done(seen := await self._live.look()):
            return seen
        await self._lease.take()
        was_paused = False
        while not done(seen := await self._live.look()):
            if seen.job is not None:
                if seen.job.paused and not was_paused:
                    paused(seen.job)
                was_paused = seen.job.paused
            if not await self.turn():
                await asyncio.sleep(LOOK / 5)
        return seen

    async def turn(self) -> bool:
        """Some work, for LOOK seconds or a copy long; False: there is none, or another one does it."""
        seen = await self._live.look()
        self._guard.reached()
        self._phase = seen.phase
        if seen.job is None:
            return False
        if seen.phase is Phase.SWITCH:
            await self._mend(seen.source, seen.target)
            return False
        if seen.job.paused or seen.phase not in _BUSY or not await self._lease.hold():
            return False
        if seen.phase is Phase.DUAL:
            await self._copy(seen.job, seen.target)
        else:
            await self._send_on(seen, seen.job.throttle)
        await self._guard.look(await self._live.look())
        return True

    async def release(self) -> None:
        """Let others work at once."""
        await self._lease.release()

    async def _mend(self, source: Control, target: Control) -> None:
        """A switch that somebody began and did not end: go through with it, or give it up."""
        if ControlState.SEALED not in (source.state, target.state):
            await finish(self._live.source, self._live.target)
        await self._impatience.spend(self._live.source, source)
        if source.state is ControlState.MOVED:
            await self._impatience.spend(self._live.target, target)

    async def _copy(self, job: Job, target: Control) -> None:
        live = self._live
        cursor = await read_cursor(live.target)
        recorder = Recorder(live.drivers[1], live.target, "copying", cursor.copied)
        pace = Throttled(live, self._lease, self._guard, job, recorder)

        def told(kind: Kind, count: int) -> None:
            recorder.count(kind, count)
            self._tell("copy", kind, count)

        try:
            await copy(live.source, live.target, cursor, pace, told, expect=target, below=job.start)
        except Unfinished:
            return
        if (await live.require_job())[0].phase is Phase.DUAL:
            await live.reach(Phase.COPIED)

    async def _send_on(self, seen: Situation, throttle: float) -> None:
        expect = seen.source if seen.back else seen.target
        live = self._live
        source, target = (live.target, live.source) if seen.back else (live.source, live.target)
        if self._pump is None or self._pump[0] != (expect.store_id, expect.epoch):
            self._pump = (expect.store_id, expect.epoch), Pump(source, target, expect)
        pump = self._pump[1]
        until, stuck = monotonic() + LOOK, pump.stuck
        self._rhythm.hasten(await oldest_mark_ms(live.drivers[1 if seen.back else 0], source) or 0)
        try:
            while monotonic() < until:
                self._rhythm.begin()
                sent = await pump.round(PAGE)
                self._guard.count(failed=False)
                await self._rhythm.rest(max(throttle, IDLE, self._gathering.after(sent)))
        except Conflict:  # the hive has turned round, or the other store is not what it was
            self._pump = None
        if pump.stuck > stuck:
            await add_stuck(self._live.source, pump.poison, pump.wrong)


_BUSY = (Phase.DUAL, Phase.COPIED, Phase.VERIFIED, Phase.REVERSE)


class Unfinished(Exception):
    """The copy was stopped: the migration was paused, or is another one by now."""


class Throttled(Pace):
    """The pace of a copy beside a working hive: as the job says at the moment."""

    def __init__(self, live: Live, lease: Lease, guard: Guard, job: Job, recorder: Recorder) -> None:
        super().__init__(job.chunk)
        self._live = live
        self._lease = lease
        self._guard = guard
        self._job = job
        self._recorder = recorder
        self._next = monotonic() + LOOK
        self._rhythm = Rhythm()

    async def next(self) -> None:
        await self._rhythm.rest(self._job.throttle)
        if monotonic() < self._next:
            return
        self._next = monotonic() + LOOK
        job = await read_job(self._live.source)
        if (
            job is None
            or job.id != self._job.id
            or job.phase is not Phase.DUAL
            or job.start != self._job.start
        ):
            raise Unfinished
        if job.paused or not await self._lease.hold():
            raise Unfinished
        self._job = job
        self.batch: int = job.chunk
        await self._recorder.tell()
        self._guard.reached()
        await self._guard.look(await self._live.look())
