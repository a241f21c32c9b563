"""Tasks that a manager holds: the original's verbs name tasks by id and know no leases.

What a manager claimed it keeps leased, for as long as its process lives: if that dies, the leases run out
and the tasks are pending again. What was only looked at (`get_next_priority_task` without `assign_task`) is
given back after a while.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from hive_state_core.errors import Closed, HiveStateError, LeaseLost
from hive_state_core.leases import Lease
from hive_state_core.store import Store

LEASE = 60.0
"""Seconds after which the tasks of a dead process are pending again."""

GLANCE = 30.0
"""Seconds for which a task is held that was handed out but not assigned."""

log: logging.Logger = logging.getLogger("hive_state")


class Hold:
    """A lease, since when it is held, and whether somebody was assigned."""

    __slots__ = ("assigned", "lease", "since")

    def __init__(self, lease: Lease) -> None:
        self.lease: Lease = lease
        self.since: float = monotonic()
        self.assigned: bool = False


class Holds:
    """Those of one manager. One task extends them all."""

    def __init__(self, hive: Store) -> None:
        self._hive = hive
        self._holds: dict[str, Hold] = {}
        self._keeping: asyncio.Task[None] | None = None

    def add(self, lease: Lease) -> Hold:
        hold = self._holds[lease.id] = Hold(lease)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return hold

    def get(self, id: str) -> Hold | None:
        return self._holds.get(id)

    def drop(self, id: str) -> None:
        self._holds.pop(id, None)

    async def close(self) -> None:
        """Give back everything."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        for id in list(self._holds):
            await self._give_back(id)

    async def _keep(self) -> None:
        while self._holds:
            await asyncio.sleep(min(LEASE, GLANCE) / 3)
            for id, hold in list(self._holds.items()):
                try:
                    await self._refresh(id, hold)
                except LeaseLost:
                    log.warning("task %s was taken away from this process", id)
                    self.drop(id)
                except Closed:
                    return
                except HiveStateError as error:  # the next round tries again, and the lease is long
                    log.warning("the lease of task %s was not extended: %s", id, error)

    async def _refresh(self, id: str, hold: Hold) -> None:
        if not hold.assigned and monotonic() > hold.since + GLANCE:
            await self._give_back(id)
        else:
            await self._hive.tasks.extend(hold.lease)

    async def _give_back(self, id: str) -> None:
        hold = self._holds.pop(id, None)
        if hold is not None:
            try:
                await self._hive.tasks.release(hold.lease)
            except HiveStateError as error:
                log.warning("task %s was not given back, its lease will run out: %s", id, error)
