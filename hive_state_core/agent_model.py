"""An agent as it is stored and as it is shown: its value, its changes, and when it counts as offline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, cast

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.ids import AGENTS_COLLECTION, names
from hive_state_core.limits import INDEX_FIELDS, VALUE_BYTES
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import Check, Committed, Put, VersionIs

COLLECTION = AGENTS_COLLECTION
HEARTBEATS = "hive:heartbeats"
"""The collection of the heartbeats: a record of the agent's id, whose instant of writing is all it tells."""

OFFLINE = "offline"
"""What an agent is shown as that was silent for too long."""

CAPABILITIES = INDEX_FIELDS - 1
"""Of one agent: each is an index entry, and so is the status."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was read. `metadata` is the caller's own: changing it changes nothing in the store,
    not even when the agent is updated later; `update(agent, metadata=...)` does.

    status         what it said last, or "offline" if it was silent for longer than `offline_after`
    last_status    what it said last
    seen_at        its last sign of life: a heartbeat, or that somebody registered or updated it
    offline_after  None: it never counts as offline
    """

    id: str
    status: str
    last_status: str
    capabilities: tuple[str, ...]
    current_task: str | None
    context_usage: float | None
    metadata: dict[str, Json]
    metadata_json: bytes
    """As it is stored."""
    version: int
    registered_at: datetime
    updated_at: datetime
    seen_at: datetime
    offline_after: timedelta | None

    def __repr__(self) -> str:
        return f"Agent({self.id!r}, status={self.status!r}, version={self.version})"


class StoredAgent(msgspec.Struct, frozen=True, kw_only=True):
    """The value of an agent's record. In alphabetical order, as canonical JSON has it; `offline_after` is a
    duration."""

    capabilities: tuple[str, ...] = ()
    context_usage: float | None = None
    current_task: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    offline_after: int | None = None
    status: str = "idle"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StoredAgent).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode


def agent_ref(id: str) -> RecordRef:
    return RecordRef(COLLECTION, validate.key(id, "an agent's id"))


def heartbeat_ref(id: str) -> RecordRef:
    return RecordRef(HEARTBEATS, validate.key(id, "an agent's id"))


def agent_of(image: RecordImage, heartbeat: RecordImage | None = None, at: int | None = None) -> Agent:
    """As it was at that instant; None: at its last sign of life. Raises CorruptData if the stored bytes are
    no agent."""
    stored = stored_of(image)
    seen_at = max(image.updated_at, heartbeat.updated_at if heartbeat else 0)
    silent = stored.offline_after is not None and at is not None and at >= seen_at + stored.offline_after
    return shown(
        image.ref.key,
        stored,
        version=image.version,
        registered_at=validate.instant(image.created_at),
        updated_at=image.updated_at,
        seen_at=seen_at,
        silent=silent,
    )


def changes_of(
    status: object = UNSET,
    current_task: object = UNSET,
    capabilities: object = UNSET,
    context_usage: object = UNSET,
    metadata: object = UNSET,
    offline_after: object = UNSET,
) -> dict[str, Any]:
    """The fields of the stored value that are to change, validated."""
    given = (status, current_task, capabilities, context_usage, metadata, offline_after)
    pairs = zip(_CHECKS.items(), given, strict=True)
    return {field: check(value) for (field, check), value in pairs if value is not UNSET}


def update_parts(
    agent: Agent, changes: dict[str, Any], if_version: int | None
) -> tuple[tuple[Check, ...], Put, int, Callable[[object, Committed], Agent]]:
    """(checks, operation, bytes, decoder) of an update of an agent that was read before."""
    before = StoredAgent(
        capabilities=agent.capabilities,
        context_usage=agent.context_usage,
        current_task=agent.current_task,
        metadata=msgspec.Raw(agent.metadata_json),
        offline_after=_milliseconds(agent.offline_after),
        status=agent.last_status,
    )
    stored = replace(before, **changes)

    def decode(_: object, committed: Committed) -> Agent:
        return written(agent.id, stored, committed, agent.registered_at)

    ref = agent_ref(agent.id)
    put, size = put_of(ref, stored)
    return (*version_checks(ref, if_version), VersionIs(ref, agent.version)), put, size, decode


def put_new(ref: RecordRef, changes: dict[str, Any]) -> tuple[Put, int]:
    """(operation, bytes) of an agent that has these fields and otherwise the defaults."""
    return put_of(ref, replace(StoredAgent(), **changes))


def put_of(ref: RecordRef, stored: StoredAgent) -> tuple[Put, int]:
    """(operation, bytes)."""
    data = _encode(stored)
    if len(data) > VALUE_BYTES:
        raise LimitExceeded("the size of the encoded agent in bytes", len(data), VALUE_BYTES)
    index = validate.index({"status": stored.status, "capability": stored.capabilities})
    return Put(ref, data, False, index), len(data)


def written(id: str, stored: StoredAgent, committed: Committed, registered_at: datetime) -> Agent:
    """The agent as that commit left it."""
    at = committed.at
    return shown(
        id, stored, version=committed.version, registered_at=registered_at, updated_at=at, seen_at=at
    )


def shown(
    id: str,
    stored: StoredAgent,
    *,
    version: int,
    registered_at: datetime,
    updated_at: int,
    seen_at: int,
    silent: bool = False,
) -> Agent:
    after = stored.offline_after
    return Agent(
        id=id,
        status=OFFLINE if silent else stored.status,
        last_status=stored.status,
        capabilities=stored.capabilities,
        current_task=stored.current_task,
        context_usage=stored.context_usage,
        metadata=_decode_metadata(stored.metadata),
        metadata_json=bytes(stored.metadata),
        version=version,
        registered_at=registered_at,
        updated_at=validate.instant(updated_at),
        seen_at=validate.instant(seen_at),
        offline_after=None if after is None else timedelta(milliseconds=after),
    )


def stored_of(image: RecordImage) -> StoredAgent:
    data = image.value or b""
    try:
        stored = _decode(data)
        _decode_metadata(stored.metadata)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"the stored value of agent {image.ref.key!r} is no agent", raw=data) from error
    return stored


def version_checks(ref: RecordRef, if_version: int | None) -> tuple[Check, ...]:
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


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else round(duration.total_seconds() * 1000)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "status": lambda value: validate.name(value, "status"),
    "current_task": lambda value: None if value is None else validate.key(value, "current_task"),
    "capabilities": _capabilities,
    "context_usage": _usage,
    "metadata": _metadata,
    "offline_after": lambda value: validate.optional_duration(value, "offline_after"),
}
