"""What a Store remembers of the agents that work through it: what they can do, and their heartbeats.

So a claim need not ask for the capabilities of its worker every time, and a heartbeat is written once in a
while only, however often it is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import monotonic
from typing import cast

from hive_state_core.agent_model import Agent, agent_of, agent_ref, heartbeat_ref
from hive_state_core.errors import Closed, HiveStateError
from hive_state_core.model import RecordImage
from hive_state_core.spi import Batch, Put
from hive_state_core.trips import Trips

FRESH = 5.0
"""Seconds for which the capabilities that were read count: a change elsewhere is seen by then."""

BEAT = 20.0
"""Seconds between two heartbeats of an agent that never counts as offline, or is not registered (yet)."""

BEATS_PER_SILENCE = 3
"""Heartbeats within the time after which a silent agent counts as offline."""

MOST = 10_000
"""Agents that are remembered."""

log: logging.Logger = logging.getLogger("hive_state")


class _Known:
    """What was read of an agent at `read_at`; `beat_at`: its last heartbeat. Both on the monotonic clock."""

    __slots__ = ("beat_at", "capabilities", "every", "read_at", "registered")

    def __init__(self, agent: Agent | None, read_at: float, beat_at: float) -> None:
        self.registered = agent is not None
        self.capabilities = frozenset(agent.capabilities if agent else ())
        after = agent.offline_after if agent else None
        self.every = BEAT if after is None else after.total_seconds() / BEATS_PER_SILENCE
        self.read_at = read_at
        self.beat_at = beat_at

    def due(self) -> bool:
        """Whether it is time for a heartbeat."""
        return monotonic() >= self.beat_at + self.every


class Roster:
    """Of one Store."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips
        self._known: dict[str, _Known] = {}

    async def capabilities(self, id: str, timeout: float | None = None) -> frozenset[str]:
        """Those of the agent of that id, as they were up to `FRESH` seconds ago; none if there is none."""
        known = self.known_capabilities(id)
        return (await self._look_up(id, timeout)).capabilities if known is None else known

    def known_capabilities(self, id: str) -> frozenset[str] | None:
        """The same without asking the store; None: it has to be asked."""
        known = self._known.get(id)
        return None if known is None or monotonic() > known.read_at + FRESH else known.capabilities

    async def beat(self, id: str, timeout: float | None = None) -> bool:
        """Write a heartbeat, unless one was written lately. False: there is no such agent."""
        known = self._known.get(id)
        if known is not None and known.registered and not known.due():
            return True
        known = await self._look_up(id, timeout)
        if known.registered and known.due():
            known.beat_at = monotonic()  # before it is written: who comes meanwhile need not write it too
            try:
                await self._trips.commit(Batch((Put(heartbeat_ref(id), b"null"),)), timeout=timeout)
            except BaseException:
                self.forget(id)
                raise
        return known.registered

    @asynccontextmanager
    async def alive(self, id: str) -> AsyncIterator[None]:
        """Give heartbeats while the block runs, if the agent is registered, or once it is."""
        beating = asyncio.create_task(self._keep_beating(id))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    def note(self, agent: Agent) -> None:
        """The agent was just written here, which is a sign of life."""
        now = monotonic()
        self._remember(agent.id, _Known(agent, now, now))

    def forget(self, id: str) -> None:
        self._known.pop(id, None)

    async def _look_up(self, id: str, timeout: float | None) -> _Known:
        (image,) = await self._trips.read((agent_ref(id),), timeout)
        agent = None if image is None else agent_of(cast(RecordImage, image))
        before = self._known.get(id)
        known = _Known(agent, monotonic(), before.beat_at if before else -inf)
        self._remember(id, known)
        return known

    def _remember(self, id: str, known: _Known) -> None:
        if len(self._known) >= MOST and id not in self._known:
            self._known.clear()
        self._known[id] = known

    async def _keep_beating(self, id: str) -> None:
        troubled = False
        while True:
            try:
                await self.beat(id)
                troubled = False
            except Closed:
                return
            except HiveStateError as error:
                if not troubled:
                    log.warning("no heartbeat of agent %s for now: %s", id, error)
                troubled = True
            known = self._known.get(id)
            every = known.every if known is not None and known.registered else BEAT
            await asyncio.sleep(min(every, 1.0) if troubled else every)
