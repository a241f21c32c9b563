"""Agents: who is in the hive, what they can do and what they are doing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime
from math import isfinite
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import Conflict, CorruptData, InvalidArgument, LimitExceeded, NotFound
from hive_state_core.ids import AGENTS_COLLECTION as COLLECTION
from hive_state_core.ids import names
from hive_state_core.limits import INDEX_FIELDS, SCAN_PAGE, VALUE_BYTES
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.records import pages
from hive_state_core.spi import Batch, Check, Committed, Delete, Put, Scan, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.unit import Pending, Unit

CAPABILITIES = INDEX_FIELDS - 1
"""Of one agent: each is an index entry, and so is the status."""

TRIES = 50
"""Rounds of read and compare-and-set before a change by id gives up with Conflict."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was read. `metadata` is the caller's own: changing it changes nothing in the store,
    not even when the agent is updated later; `update(agent, metadata=...)` does."""

    id: str
    status: str
    capabilities: tuple[str, ...]
    current_task: str | None
    context_usage: float | None
    metadata: dict[str, Json]
    metadata_json: bytes
    """As it is stored."""
    version: int
    registered_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"Agent({self.id!r}, status={self.status!r}, version={self.version})"


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The value of an agent's record. In alphabetical order, as canonical JSON has it."""

    capabilities: tuple[str, ...] = ()
    context_usage: float | None = None
    current_task: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    status: str = "idle"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode


class Agents:
    """`hive.agents`. Every verb takes `timeout=` in seconds."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips

    async def register(
        self,
        id: str,
        *,
        capabilities: Iterable[str] = (),
        status: str = "idle",
        metadata: dict[str, Json] | None = None,
        timeout: float | None = None,
    ) -> Agent:
        """Add the agent. One that is there already gets these capabilities and this status, the metadata
        if some is given, and keeps the rest.

        Raises Conflict if others change it all the time.
        """
        ref = agent_ref(id)
        changes = changes_of(status, UNSET, capabilities, UNSET, UNSET if metadata is None else metadata)

        async def once(first: bool) -> Agent:
            image = None if first else await self._read(ref, timeout)
            return await self._write(ref, image, changes, timeout)

        return await _until_won(once)

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
            return decode(None, await self._trips.commit(Batch((put,), checks), size, timeout))
        ref = agent_ref(agent)
        checks = _version_checks(ref, if_version)

        async def once(_: bool) -> Agent:
            image = await self._read(ref, timeout)
            if image is None and not checks:
                raise NotFound(f"agent {ref.key!r} is not registered")
            return await self._write(ref, image, changes, timeout, checks)

        return await (once(True) if checks else _until_won(once))

    async def remove(self, agent: Agent | str, *, timeout: float | None = None) -> bool:
        """Whether there was such an agent. With an Agent that was read before: Conflict if it was changed
        since."""
        known = agent if isinstance(agent, Agent) else None
        ref = agent_ref(known.id if known else cast(str, agent))
        checks = _version_checks(ref, known.version if known else None)
        try:
            committed = await self._trips.commit(Batch((Delete(ref),), checks), timeout=timeout)
        except Conflict as conflict:
            if conflict.actual:
                raise
            return False
        return cast(bool, committed.results[0])

    async def get(self, id: str, *, timeout: float | None = None) -> Agent | None:
        """The agent, or None if there is none of that id."""
        image = await self._read(agent_ref(id), timeout)
        return None if image is None else agent_of(image)

    async def get_many(self, ids: Iterable[str], *, timeout: float | None = None) -> list[Agent | None]:
        """One entry for each id, in their order: all from one snapshot."""
        images = await self._trips.read(tuple(map(agent_ref, ids)), timeout)
        return [None if image is None else agent_of(cast(RecordImage, image)) for image in images]

    async def list(
        self,
        *,
        status: str | None = None,
        capability: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Agent]:
        """All agents in the order of their ids, or those of a status, with a capability, or both."""
        wanted = {"status": status, "capability": capability}
        where = validate.index({field: value for field, value in wanted.items() if value is not None})
        query = Scan(kind="record", within=COLLECTION, where=where, limit=SCAN_PAGE // 4)
        async for image in pages(self._trips, query, timeout):
            yield agent_of(image)

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
        stored = replace(_Stored() if image is None else _stored_of(image), **changes)
        put, size = put_of(ref, stored)
        checks = (*checks, VersionIs(ref, 0 if image is None else image.version))
        committed = await self._trips.commit(Batch((put,), checks), size, timeout)
        created = committed.at if image is None else image.created_at
        return _agent(ref.key, stored, committed.version, validate.instant(created), committed.at)


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
    ) -> Pending[Agent]:
        """Add the agent; if it is there already, the unit is refused with AlreadyExists."""
        ref = agent_ref(id)
        changes = changes_of(status, UNSET, capabilities, UNSET, {} if metadata is None else metadata)
        stored = replace(_Stored(), **changes)

        def decode(_: object, committed: Committed) -> Agent:
            at = committed.at
            return _agent(id, stored, committed.version, validate.instant(at), at)

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


def agent_ref(id: str) -> RecordRef:
    return RecordRef(COLLECTION, validate.key(id, "an agent's id"))


def agent_of(image: RecordImage) -> Agent:
    """Raises CorruptData if the stored bytes are no agent."""
    stored = _stored_of(image)
    registered_at = validate.instant(image.created_at)
    return _agent(image.ref.key, stored, image.version, registered_at, image.updated_at)


def changes_of(
    status: object, current_task: object, capabilities: object, context_usage: object, metadata: object
) -> dict[str, Any]:
    """The fields of the stored value that are to change, validated."""
    given = (status, current_task, capabilities, context_usage, metadata)
    pairs = zip(_CHECKS.items(), given, strict=True)
    return {field: check(value) for (field, check), value in pairs if value is not UNSET}


def update_parts(
    agent: Agent, changes: dict[str, Any], if_version: int | None
) -> tuple[tuple[Check, ...], Put, int, Callable[[object, Committed], Agent]]:
    """(checks, operation, bytes, decoder) of an update of an agent that was read before."""
    before = _Stored(
        capabilities=agent.capabilities,
        context_usage=agent.context_usage,
        current_task=agent.current_task,
        metadata=msgspec.Raw(agent.metadata_json),
        status=agent.status,
    )
    stored = replace(before, **changes)

    def decode(_: object, committed: Committed) -> Agent:
        return _agent(agent.id, stored, committed.version, agent.registered_at, committed.at)

    ref = agent_ref(agent.id)
    put, size = put_of(ref, stored)
    return (*_version_checks(ref, if_version), VersionIs(ref, agent.version)), put, size, decode


def put_of(ref: RecordRef, stored: _Stored) -> tuple[Put, int]:
    """(operation, bytes)."""
    data = _encode(stored)
    if len(data) > VALUE_BYTES:
        raise LimitExceeded("the size of the encoded agent in bytes", len(data), VALUE_BYTES)
    index = validate.index({"status": stored.status, "capability": stored.capabilities})
    return Put(ref, data, False, index), len(data)


def _agent(id: str, stored: _Stored, version: int, registered_at: datetime, updated_at: int) -> Agent:
    return Agent(
        id=id,
        status=stored.status,
        capabilities=stored.capabilities,
        current_task=stored.current_task,
        context_usage=stored.context_usage,
        metadata=_decode_metadata(stored.metadata),
        metadata_json=bytes(stored.metadata),
        version=version,
        registered_at=registered_at,
        updated_at=validate.instant(updated_at),
    )


def _stored_of(image: RecordImage) -> _Stored:
    data = image.value or b""
    try:
        stored = _decode(data)
        _decode_metadata(stored.metadata)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"the stored value of agent {image.ref.key!r} is no agent", raw=data) from error
    return stored


async def _until_won(once: Callable[[bool], Awaitable[Agent]]) -> Agent:
    """Try (told whether it is the first time) until nobody else was faster, up to `TRIES` times."""
    for attempt in range(1, TRIES):
        try:
            return await once(attempt == 1)
        except Conflict:
            # Those who lost together come back apart, or one of them would win a round, every time.
            await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 10)))
    return await once(False)


def _version_checks(ref: RecordRef, if_version: int | None) -> tuple[Check, ...]:
    return () if if_version is None else (VersionIs(ref, validate.version(if_version)),)


def _capabilities(value: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(names(value, "capabilities")))
    if len(unique) > CAPABILITIES:
        raise LimitExceeded("the number of capabilities of an agent", len(unique), CAPABILITIES)
    return unique


def _usage(value: object) -> float | None:
    if value is None:
        return None
    try:
        if type(value) in (int, float) and isfinite(cast(float, value)):
            return float(cast(float, value))
    except OverflowError:  # of an int
        pass
    raise InvalidArgument("context_usage must be a finite number or None")


def _metadata(value: dict[str, Json]) -> msgspec.Raw:
    if type(value) is not dict:
        raise InvalidArgument(f"metadata must be a dict, not {type(value).__name__}")
    return msgspec.Raw(codec.encode(value)[0])


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "status": lambda value: validate.name(value, "status"),
    "current_task": lambda value: None if value is None else validate.key(value, "current_task"),
    "capabilities": _capabilities,
    "context_usage": _usage,
    "metadata": _metadata,
}
