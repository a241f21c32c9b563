"""The store that is measured, in the shape of a baseline, so that one workload drives either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from hive_state_conformance.workloads_scratch import scratch, witness
from hive_state_core.baselines import HeldEvent, HeldTask
from hive_state_core.choosing import Choice
from hive_state_core.codec import Json
from hive_state_core.errors import Closed, Conflict, LeaseLost
from hive_state_core.features import Facility
from hive_state_core.leases import Lease
from hive_state_core.store import Store
from hive_state_core.subscription import Delivery, Event

COLLECTION = "agents"
QUEUE = "work"
STREAM = "audit"
GROUP = "readers"
LEASE_SECONDS = 600
LOAD = 1000
"""Records that are written at once."""


class StoreSide:
    """See `hive_state_core.baselines.Baseline`. Works in a namespace of its own."""

    def __init__(self, where: str | Choice) -> None:
        self._where = where
        self._exits = AsyncExitStack()
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        if self._store is None:
            raise Closed("the store is not open")
        return self._store

    async def open(self) -> None:
        self._store = store = await self._exits.enter_async_context(scratch(self._where, "bench"))
        self._records, self._tasks, self._events = store.records, store.tasks, store.events
        if store.features.has(Facility.STREAMS):
            await self._events.create_group(STREAM, GROUP, start="beginning")

    async def close(self) -> None:
        await self._exits.aclose()

    async def about(self) -> Mapping[str, object]:
        return (await self.store.stats()).backend

    async def get(self, key: str) -> tuple[Json, int] | None:
        record = await self._records.get(COLLECTION, key)
        return None if record is None else (record.value, record.version)

    async def put(self, key: str, value: Json) -> int:
        return await self._records.put(COLLECTION, key, value)

    async def cas(self, key: str, value: Json, version: int) -> int | None:
        try:
            return await self._records.put(COLLECTION, key, value, if_version=version)
        except Conflict:
            return None

    async def enqueue(self, payload: Json) -> str:
        return (await self._tasks.enqueue(QUEUE, payload)).id

    async def claim(self, worker: str) -> Lease | None:
        for lease in await self._tasks.claim(QUEUE, worker=worker, lease=LEASE_SECONDS):
            return lease
        return None

    async def complete(self, task: HeldTask) -> bool:
        assert isinstance(task, Lease)
        try:
            await self._tasks.complete(task)
        except LeaseLost:
            return False
        return True

    async def append(self, body: Json) -> int:
        return await self._events.publish(STREAM, body)

    async def take(self, consumer: str) -> Delivery | None:
        for delivery in await self._events.claim(STREAM, GROUP, consumer=consumer, lease=LEASE_SECONDS):
            return delivery
        return None

    async def ack(self, event: HeldEvent) -> bool:
        assert isinstance(event, Delivery)
        try:
            await self._events.ack(event)
        except LeaseLost:
            return False
        return True

    async def load(self, records: Mapping[str, Json]) -> None:
        items = list(records.items())
        for start in range(0, len(items), LOAD):
            await self._records.put_many(COLLECTION, dict(items[start : start + LOAD]))

    async def fill(self, payloads: Sequence[Json]) -> Sequence[str]:
        return [task.id for task in await self._tasks.enqueue_many(QUEUE, payloads)]

    async def records(self) -> Sequence[tuple[str, Json, int]]:
        async with witness(self._where, self.store) as seen:
            return [(each.key, each.value, each.version) async for each in seen.records.list(COLLECTION)]

    async def tasks(self) -> Sequence[tuple[str, str]]:
        async with witness(self._where, self.store) as seen:
            return [(each.id, each.state.value) async for each in seen.tasks.list(queue=QUEUE)]

    async def events(self) -> Sequence[tuple[int, Json]]:
        async with witness(self._where, self.store) as seen:
            found: list[Event] = []
            while page := await seen.events.read(STREAM, start=found[-1].seq + 1 if found else 1, limit=LOAD):
                found += page
            return [(each.seq, each.body) for each in found]

    async def unfinished(self) -> int:
        group = (await self.store.stats()).groups[STREAM, GROUP]
        return group.lag + group.pending + group.dead
