"""Who does the work of a live migration at the moment: a note in the source that its holder changes again and
again.

It spares double work, and nothing depends on it: images are loaded if newer, marks are cleared at the version
that was sent. Nobody's clock is compared with another's: who sees it unchanged for long enough takes it.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from uuid import uuid4

from hive_state_core.errors import HiveStateError
from hive_state_core.spi import Replication

LEASE = "migration/worker"

LEASE_SECONDS = 3.0
"""Who has not changed the lease for so long has lost it."""

LOOK = 0.5
"""Seconds between two changes of the lease, and two looks at the job."""

log: logging.Logger = logging.getLogger("hive_state")


class Lease:
    """Of one worker or switch. `port`: of the source of the migration, wherever the hive lives."""

    def __init__(self, port: Replication) -> None:
        self._port = port
        self._owner = uuid4().hex.encode()
        self._beats = 0
        self._held: bytes | None = None
        self._seen: tuple[bytes | None, float] = b"", 0.0
        self._due = 0.0

    async def hold(self) -> bool:
        """Whether it is ours for the next moment."""
        if self._held is not None and monotonic() < self._due:
            return True
        there = await self._there()
        if there is not None and there != self._held and not self._is_stale(there):
            self._held = None
            return False
        return await self._write(there)

    async def take(self) -> None:
        """It is ours, whoever had it; that one has noticed by now. Who switches does the work alone: pumps
        beside it would hold locks for which writers wait."""
        while not await self._write(there := await self._there()):
            pass
        if there is not None:
            await asyncio.sleep(LOOK)

    async def release(self) -> None:
        """Let others work at once."""
        if self._held is None:
            return
        try:
            await self._port.note({LEASE: None}, expect={LEASE: self._held})
        except HiveStateError as error:
            log.debug("the lease was not given back, it will run out: %s", error)
        self._held = None

    async def _there(self) -> bytes | None:
        return (await self._port.notes()).get(LEASE)

    async def _write(self, there: bytes | None) -> bool:
        """False: it is not `there` any more."""
        self._beats += 1
        mine = self._owner + b" %d" % self._beats
        taken = await self._port.note({LEASE: mine}, expect={LEASE: there})
        self._held = mine if taken else None
        self._due = monotonic() + LOOK
        return taken

    def _is_stale(self, there: bytes) -> bool:
        now = monotonic()
        if self._seen[0] != there:
            self._seen = there, now
        return now - self._seen[1] > LEASE_SECONDS
