"""Agents: who is in the hive, what they can do and what they are doing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import (
    AlreadyExists,
    Conflict,
    CorruptData,
    InvalidArgument,
    LimitExceeded,
    NotFound,
)
from hive_state_core.ids import names
from hive_state_core.limits import INDEX_FIELDS, SCAN_PAGE, VALUE_BYTES
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.records import pages
from hive_state_core.spi import Batch, Check, Committed, Delete, Put, Scan, VersionIs
from hive_state_core.trips import Trips
from hive_state_core.unit import Pending, Unit

COLLECTION = "hive:agents"

TRIES = 50
"""Rounds of read and compare-and-set before an update by id gives up."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's value. The fields stand in the order of canonical JSON; `metadata` stays encoded, so that
    what a caller does to its copy is not written back by an update of something else."""

    capabilities: tuple[str, ...]
    context_usage: float | None
    current_task: str | None
    metadata: msgspec.Raw
    status: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What an update sets; UNSET keeps its value."""

    status: str | UnsetType = UNSET
    current_task: str | UnsetType | None = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    context_usage: float | UnsetType | None = UNSET
    metadata: msgspec.Raw | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode


class Agent:
    """An agent as it was read. `metadata` is the caller's own: changing it changes nothing in the store.
    Two are equal if they are the same version of the same agent."""

    __slots__ = ("_metadata", "_stored", "id", "registered_ms", "updated_ms", "version")

    def __init__(self, id: str, stored: _Stored, version: int, registered_ms: int, updated_ms: int) -> None:
        """For the facet."""
        for field, value in zip(self.__slots__, (None, stored, id, registered_ms, updated_ms, version)):
            object.__setattr__(self, field, value)
