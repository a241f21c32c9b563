"""Before a switch, leases and locks that would run out during it are lengthened: nobody can keep them alive
while nobody can write, and the other store's clock may be ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_core.images import key_of
from hive_state_core.limits import TRIP_BATCHES
from hive_state_core.locks import COLLECTION as LOCKS
from hive_state_core.migration.presence import instant
from hive_state_core.model import GroupRef, PendingImage, RecordImage, TaskImage, TaskState
from hive_state_core.paging import chunked
from hive_state_core.spi import (
    Batch,
    CreatedIs,
    Driver,
    Extend,
    ExtendDeliveries,
    Foreign,
    LeaseIs,
    Replication,
    Scan,
    ScanImage,
    Span,
    Touch,
)

SPARE_MS = 5000
"""On top of the budget of the switch: for clocks that differ, and for those who have waited."""

PAGE = 1000


async def lengthen(driver: Driver, port: Replication, budget: float) -> None:
    """What ends within the budget and a little more ends after that. What is let go of meanwhile, or taken by
    somebody else, is left alone: each is changed only if it is still the same. To a program that knows
    nothing of us they mean nothing."""
    if isinstance(driver, Foreign):
        return
    ending = _ending(driver, port, round(budget * 1000) + SPARE_MS)
    async for batches in chunked(ending, TRIP_BATCHES):
        await driver.commit(batches, uuid4().hex)


async def _ending(driver: Driver, port: Replication, least: int) -> AsyncIterator[Batch]:
    """One batch for each lease, lock and delivery. What is over already is not brought back."""
    now = await instant(driver)
    soon = range(now, now + least)
    leased = Scan(kind="task", states=frozenset({TaskState.LEASED}), values=False, limit=PAGE)
    async for task in _scan(driver, leased):
        task = cast(TaskImage, task)
        if task.lease_until in soon:
            yield Batch((Extend(task.ref, task.token, least),), (LeaseIs(task.ref, task.token),))
    async for lock in _scan(driver, Scan(kind="record", within=LOCKS, limit=PAGE)):
        lock = cast(RecordImage, lock)
        if lock.expires_at in soon:
            yield Batch((Touch(lock.ref, least),), (CreatedIs(lock.ref, lock.created_version),))
    async for delivery in _deliveries(port):
        if delivery.token and delivery.until in soon:
            group = GroupRef(delivery.ref.stream, delivery.ref.group)
            yield Batch((ExtendDeliveries(group, ((delivery.ref.seq, delivery.token),), least),))


async def _scan(driver: Driver, query: Scan) -> AsyncIterator[ScanImage]:
    while True:
        page = await driver.scan(query)
        for image in page.items:
            yield image
        if page.next is None:
            return
        query = replace(query, after=page.next)


async def _deliveries(port: Replication) -> AsyncIterator[PendingImage]:
    span = Span(kind="pending", limit=PAGE)
    while images := await port.export(span):
        for image in images:
            yield cast(PendingImage, image)
        span = replace(span, after=key_of(images[-1]))
