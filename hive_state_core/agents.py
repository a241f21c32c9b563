"""Agents: who is in the hive, what they can do and what they are doing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from hive_state_core import validate
from hive_state_core.agent_model import (
    CAPABILITIES,
    COLLECTION,
    OFFLINE,
    Agent,
    StoredAgent,
    agent_of,
    agent_ref,
    changes_of,
    heartbeat_ref,
    put_new,
    put_of,
    stored_of,
    update_parts,
    version_checks,
    written,
)
from hive_state_core.codec import Json
from hive_state_core.errors import Conflict, InvalidArgument, NotFound
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.paging import chunked, pages
from hive_state_core.roster import Roster
from hive_state_core.spi import Batch, Check, Committed, Delete, Scan, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.unit import Pending, Unit
from hive_state_core.validate import Duration

__all__ = [
    "CAPABILITIES",
    "COLLECTION",
    "OFFLINE",
    "Agent",
    "AgentOps",
    "Agents",
    "agent_ref",
    "changes_of",
    "put_new",
]

OFFLINE_AFTER: Duration = 60
"""Seconds of silence by default."""

TRIES = 50
"""Rounds of read and compare-and-set before a change by id gives up with Conflict."""


class Agents:
    """`hive.agents`. Every verb takes `timeout=` in seconds, see `Store`."""

    def __init__(self, trips: Trips, roster: Roster) -> None:
        self._trips = trips
        self._roster = roster

    async def register(
        self,
        id: str,
        *,
        capabilities: Iterable[str] = (),
        status: str = "idle",
        metadata: dict[str, Json] | None = None,
        offline_after: Duration | None = OFFLINE_AFTER,
        timeout: float | None = None,
    ) -> Agent:
        """Add the agent. One that is there already gets these capabilities and this status, the metadata
        if some is given, and keeps the rest.

        offline_after  how long without a sign of life until it is shown as offline; None = never. Signs of
                       life are `register`, `update`, `heartbeat`, and that it is the worker of a
                       `tasks.work` or `tasks.consume`

        Raises Conflict if others change it all the time.
        """
        ref = agent_ref(id)
        changes = _first(status, capabilities, metadata, offline_after)

        async def once(first: bool) -> Agent:
            image = None if first else await self._read(ref, timeout)
            return await self._write(ref, image, changes, timeout)

        agent = await _until_won(once)
        self._roster.note(agent)
        return agent

    async def update(
        self,
        agent: Agent | str,
        *,
        status: str | UnsetType = UNSET,
        current_task: str | UnsetType | None = UNSET,
        capabilities: Iterable[str] | UnsetType = UNSET,
        context_usage: float | UnsetType | None = UNSET,
        metadata: dict[str, Json] | UnsetType = UNSET,
        if_version: int | None = None,
        timeout: float | None = None,
    ) -> Agent:
        """Set what is given, keep the rest; the agent as it is now.

        With an Agent that was read before: Conflict if it was changed or removed since. With an id: the
        change is made to whatever the agent is now, once more if somebody else was faster, and Conflict
        is raised only if that does not end; NotFound if there is no such agent. `if_version`: Conflict
        unless that is its version.
        """
        changes = changes_of(status, current_task, capabilities, context_usage, metadata)
        if isinstance(agent, Agent):
            checks, put, size, decode = update_parts(agent, changes, if_version)
            updated = decode(None, await self._trips.commit(Batch((put,), checks), size, timeout))
        else:
            updated = await self._update(agent_ref(agent), changes, if_version, timeout)
        self._roster.note(updated)
        return updated

    async def _update(
        self, ref: RecordRef, changes: dict[str, Any], if_version: int | None, timeout: float | None
    ) -> Agent:
        checks = version_checks(ref, if_version)

        async def once(_: bool = True) -> Agent:
            image = await self._read(ref, timeout)
            if image is None and not checks:
                raise NotFound(f"agent {ref.key!r} is not registered")
            return await self._write(ref, image, changes, timeout, checks)

        return await (once() if checks else _until_won(once))

    async def remove(self, agent: Agent | str, *, timeout: float | None = None) -> bool:
        """Whether there was such an agent. With an Agent that was read before: Conflict if it was changed
        since."""
        known = agent if isinstance(agent, Agent) else None
        ref = agent_ref(known.id if known else cast(str, agent))
        checks = version_checks(ref, known.version if known else None)
        ops = (Delete(ref), Delete(heartbeat_ref(ref.key)))
        self._roster.forget(ref.key)
        try:
            committed = await self._trips.commit(Batch(ops, checks), timeout=timeout)
        except Conflict as conflict:
            if conflict.actual:
                raise
            return False
        return cast(bool, committed.results[0])

    async def heartbeat(self, id: str, *, timeout: float | None = None) -> None:
        """A sign of life. Cheap: of what comes within a third of the agent's `offline_after`, one is written.
        Raises NotFound if there is no such agent."""
        if not await self._roster.beat(agent_ref(id).key, timeout):
            raise NotFound(f"agent {id!r} is not registered")

    async def get(self, id: str, *, timeout: float | None = None) -> Agent | None:
        """The agent, or None if there is none of that id."""
        (agent,) = await self.get_many((id,), timeout=timeout)
        return agent

    async def get_many(self, ids: Iterable[str], *, timeout: float | None = None) -> list[Agent | None]:
        """One entry for each id, in their order: all from one snapshot."""
        refs = list(map(agent_ref, validate.several(ids, "ids")))
        both = (*refs, *[heartbeat_ref(ref.key) for ref in refs])
        images = cast("Sequence[RecordImage | None]", await self._trips.read(both, timeout))
        pairs = zip(images[: len(refs)], images[len(refs) :], strict=True)
        at = self._trips.at
        return [None if image is None else agent_of(image, heartbeat, at) for image, heartbeat in pairs]

    async def list(
        self,
        *,
        status: str | None = None,
        capability: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Agent]:
        """All agents in the order of their ids, or those of a status, with a capability, or both. A silent
        agent has the status "offline", and no other."""
        wanted = {"status": None if status == OFFLINE else status, "capability": capability}
        where = validate.index({field: value for field, value in wanted.items() if value is not None})
        query = Scan(kind="record", within=COLLECTION, where=where, limit=SCAN_PAGE // 4)
        async for chunk in chunked(pages(self._trips, query, timeout), query.limit):
            heartbeats = tuple([heartbeat_ref(image.ref.key) for image in chunk])
            found = cast("Sequence[RecordImage | None]", await self._trips.read(heartbeats, timeout))
            for image, heartbeat in zip(chunk, found, strict=True):
                agent = agent_of(image, heartbeat, self._trips.at)
                if status is None or agent.status == status:
                    yield agent

    async def _read(self, ref: RecordRef, timeout: float | None) -> RecordImage | None:
        (image,) = await self._trips.read((ref,), timeout)
        return cast("RecordImage | None", image)

    async def _write(
        self,
        ref: RecordRef,
        image: RecordImage | None,
        changes: dict[str, Any],
        timeout: float | None,
        checks: tuple[Check, ...] = (),
    ) -> Agent:
        """The agent of that image, None = absent, with the changes; Conflict if it is another by now."""
        stored = replace(StoredAgent() if image is None else stored_of(image), **changes)
        put, size = put_of(ref, stored)
        checks = (*checks, VersionIs(ref, 0 if image is None else image.version))
        committed = await self._trips.commit(Batch((put,), checks), size, timeout)
        created = committed.at if image is None else image.created_at
        return written(ref.key, stored, committed, validate.instant(created))


class AgentOps:
    """`unit.agents`: the writing verbs, gathered instead of awaited."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def register(
        self,
        id: str,
        *,
        capabilities: Iterable[str] = (),
        status: str = "idle",
        metadata: dict[str, Json] | None = None,
        offline_after: Duration | None = OFFLINE_AFTER,
    ) -> Pending[Agent]:
        """Add the agent; if it is there already, the unit is refused with AlreadyExists."""
        ref = agent_ref(id)
        stored = replace(StoredAgent(), **_first(status, capabilities, metadata, offline_after))

        def decode(_: object, committed: Committed) -> Agent:
            return written(id, stored, committed, validate.instant(committed.at))

        put, size = put_of(ref, stored)
        pending = self._unit.add(put, decode, size)
        self._unit.check(VersionIs(ref, 0))
        return pending

    def update(
        self,
        agent: Agent,
        *,
        status: str | UnsetType = UNSET,
        current_task: str | UnsetType | None = UNSET,
        capabilities: Iterable[str] | UnsetType = UNSET,
        context_usage: float | UnsetType | None = UNSET,
        metadata: dict[str, Json] | UnsetType = UNSET,
    ) -> Pending[Agent]:
        """As `Agents.update` of an Agent: the unit is refused with Conflict if it was changed since."""
        if not isinstance(agent, Agent):
            raise InvalidArgument(
                "an atomic unit reads nothing, so it updates an Agent that was read before, not an id:"
                " agent = await hive.agents.get(id)"
            )
        changes = changes_of(status, current_task, capabilities, context_usage, metadata)
        checks, put, size, decode = update_parts(agent, changes, None)
        pending = self._unit.add(put, decode, size)
        for check in checks:
            self._unit.check(check)
        return pending


def _first(
    status: str,
    capabilities: Iterable[str],
    metadata: dict[str, Json] | None,
    offline_after: Duration | None,
) -> dict[str, Any]:
    """The fields that a registration sets."""
    return changes_of(
        status=status,
        capabilities=capabilities,
        metadata=UNSET if metadata is None else metadata,
        offline_after=offline_after,
    )


async def _until_won(once: Callable[[bool], Awaitable[Agent]]) -> Agent:
    """Try (told whether it is the first time) until nobody else was faster, up to `TRIES` times."""
    for attempt in range(1, TRIES):
        try:
            return await once(attempt == 1)
        except Conflict:
            # Those who lost together come back apart, or one of them would win a round, every time.
            await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 10)))
    return await once(False)
