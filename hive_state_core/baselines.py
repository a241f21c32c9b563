"""What `hive-state bench` measures: the verbs of a store, and of its hand-written competitor.

A baseline is what a good engineer writes for one job with the library of the backend: one statement an
operation, well indexed, with the same durability as the store of that URL, on the same disk. It neither
batches calls nor is it made slow. Values are JSON, encoded by msgspec with sorted keys, as core does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from hive_state_core.codec import Json
from hive_state_core.model import Image


class HeldTask(Protocol):
    """A task that was claimed. `payload` is decoded."""

    @property
    def id(self) -> str: ...

    @property
    def token(self) -> int: ...

    @property
    def payload(self) -> Json: ...


class HeldEvent(Protocol):
    """An event that was handed out. `body` is decoded."""

    @property
    def seq(self) -> int: ...

    @property
    def token(self) -> int: ...

    @property
    def body(self) -> Json: ...


class Held(msgspec.Struct, frozen=True, gc=False):
    """A `HeldTask` for a baseline to hand out."""

    id: str
    token: int
    payload: Json


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A `HeldEvent` for a baseline to hand out."""

    seq: int
    token: int
    body: Json


class Baseline(Protocol):
    """One set of records, one queue, and one stream with one consumer group from its beginning; all of them
    new. Every verb that writes is durable when it returns.

    Called on one event loop; any number of calls may be under way at once.
    """

    async def open(self) -> None:
        """Connect, and make new tables beside the store. Called once."""
        ...

    async def close(self) -> None:
        """Remove what `open` made, and give everything back. May be called after an `open` that failed."""
        ...

    async def about(self) -> Mapping[str, object]:
        """Versions and settings, for people."""
        ...

    # Measured

    async def get(self, key: str) -> tuple[Json, int] | None:
        """(value, version) of a record, None if there is none."""
        ...

    async def put(self, key: str, value: Json) -> int:
        """Write the whole record, whatever is there; its new version, greater than the one before."""
        ...

    async def cas(self, key: str, value: Json, version: int) -> int | None:
        """Write it if `version` is its version now; the new one. None: it is not, nothing was written."""
        ...

    async def enqueue(self, payload: Json) -> str:
        """Add a task to the queue; its id."""
        ...

    async def claim(self, worker: str) -> HeldTask | None:
        """Lease the first task that is ready, None if there is none."""
        ...

    async def complete(self, task: HeldTask) -> bool:
        """The task is done; False if it is not leased under this token any more."""
        ...

    async def append(self, body: Json) -> int:
        """Add an event to the stream; its seq: 1, 2, 3, ... without a gap, in commit order."""
        ...

    async def take(self, consumer: str) -> HeldEvent | None:
        """Lease the next event to a consumer of the group, None if all were handed out."""
        ...

    async def ack(self, event: HeldEvent) -> bool:
        """The group is done with the event; False if it is not leased under this token any more."""
        ...

    # Not measured: before and after

    async def load(self, records: Mapping[str, Json]) -> None:
        """Write many records."""
        ...

    async def fill(self, payloads: Sequence[Json]) -> Sequence[str]:
        """Add many tasks; their ids, in the order of the payloads."""
        ...

    async def records(self) -> Sequence[tuple[str, Json, int]]:
        """(key, value, version) of all records, as they are in the database now."""
        ...

    async def tasks(self) -> Sequence[tuple[str, str]]:
        """(id, state) of all tasks, one entry for each row. A state is ready, leased or completed."""
        ...

    async def events(self) -> Sequence[tuple[int, Json]]:
        """(seq, body) of all events, in the order of their seqs."""
        ...

    async def unfinished(self) -> int:
        """How many events the group has not acked."""
        ...


class Rival(NamedTuple):
    """One of the stores that a store is made of, by its configured name. `by_hand`: its baseline, not our
    driver of it."""

    store: str
    by_hand: bool


class Bulk(Protocol):
    """The quickest way to bring many rows into the backend, with nothing of hive-state around it."""

    async def open(self) -> None:
        """Connect, and make new tables beside the store, with the columns and indexes of its own."""
        ...

    async def close(self) -> None:
        """Remove what `open` made, and give everything back. May be called after an `open` that failed."""
        ...

    async def copy(self, images: Sequence[Image]) -> float:
        """Write these images, of one kind; the seconds it took, once they were rows."""
        ...
