"""The background of a dual-write store: it does the work of a migration in turns with other processes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hive_state_core.background import Background
from hive_state_core.errors import Closed, HiveStateError, SchemaMismatch
from hive_state_core.member import Member
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import read_job
from hive_state_core.migration.pumping import Pump
from hive_state_core.migration.working import Worker

if TYPE_CHECKING:
    from hive_state_dualwrite.driver import DualDriver
    from hive_state_dualwrite.shadow import Shadow

LOOK = 1.0
"""Seconds between two looks whether there is something to do."""

log: logging.Logger = logging.getLogger("hive_state.dualwrite")


class Sender(Background):
    """Of one dual-write store. `degraded`: commits that were acknowledged without the other store."""

    def __init__(self, driver: DualDriver, members: tuple[Member, Member], shadow: Shadow) -> None:
        self._driver = driver
        self._shadow = shadow
        self._members = members
        self._worker: Worker | None = None
        self._flushing = asyncio.Lock()
        self.degraded = 0

    @property
    def secondary(self) -> Member:
        return self._members[1]

    async def _run(self) -> None:
        told = ""
        while True:
            try:
                live = await self._live()
                if live is not None:
                    await self._work(live)
            except Closed as error:  # the other store was dropped: it is connected with anew
                log.debug("nothing is sent to the other store for a moment: %s", error)
            except HiveStateError as error:
                if str(error) != told:
                    log.warning("nothing is sent to the other store for now: %s", error)
                told = str(error)
            except Exception:  # a defect: it must not end the sending, nor pass unseen
                log.exception("the sending to the other store failed")
            await asyncio.sleep(LOOK)

    async def _work(self, live: Live) -> None:
        self._worker = worker = Worker(live)
        shadowing = asyncio.create_task(self._look_at_shadows(live, worker))
        try:
            await worker.run()
        except SchemaMismatch:  # the other store was dropped, and may be made anew
            await self._driver.renew(self.secondary)
            raise
        finally:
            self._worker = None
            shadowing.cancel()
            await asyncio.wait({shadowing})
            await worker.release()

    async def _look_at_shadows(self, live: Live, worker: Worker) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                if worker.sends:
                    await self._shadow.look(live)
            except HiveStateError as error:
                log.debug("what was read could not be compared with the other store: %s", error)

    async def _live(self) -> Live | None:
        """The migration between the two, whichever way it goes; None: there is none."""
        for member in self._members:
            await member.open()
        for source, target in (self._members, self._members[::-1]):
            job, row = await read_job(source.port), await source.port.control()
            if job is not None and job.source == row.store_id:
                return Live(source.driver, target.driver, (source.name, target.name))
        return None

    async def both(self, version: int, seconds: float) -> None:
        """Wait until everything up to this version is in the other store too, but not for longer."""
        if not version or self._worker is None or not self._worker.sends:
            return
        here = self._driver.at
        other = self._members[1] if here is self._members[0] else self._members[0]
        try:
            async with asyncio.timeout(seconds), self._flushing:
                pump = Pump(here.port, other.port, await other.port.control())
                while (marks := await pump.waiting(1)) and marks[0].version <= version:
                    await pump.round()
        except (TimeoutError, HiveStateError) as error:
            self.degraded += 1
            log.warning("acknowledged by %s alone, %d so far: %r", here.name, self.degraded, error)
