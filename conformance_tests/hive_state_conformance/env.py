"""What a check is given: stores in a namespace of its own, and the few helpers that all checks share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast
from uuid import uuid4

from hive_state_conformance.checking import NotRun
from hive_state_conformance.harness import Harness, driver_of, is_private
from hive_state_core.errors import HiveStateError
from hive_state_core.model import ReadRef, RecordImage, RecordRef, TaskImage, TaskRef
from hive_state_core.spi import (
    Batch,
    Claimed,
    ClaimedTasks,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Driver,
    Outcome,
    Refused,
    Reply,
)
from hive_state_core.store import Store

Answer = TypeVar("Answer")

PATIENCE = 10.0
"""Seconds after which what should have come is taken as missing. Long: test machines are slow and shared."""

PRIVATE = "two Stores are two stores here (sharing=process), so there is no second connection"
VOLATILE = "data end with their Store here (durability=volatile)"


class Env:
    """`store` is open, empty and of a random namespace; so is all that a check opens through here."""

    def __init__(self, harness: Harness, namespace: str, store: Store) -> None:
        self.harness = harness
        self.namespace = namespace
        self.store = store
        self._opened = [store]
        self._namespaces = {namespace}

    @property
    def driver(self) -> Driver:
        return driver_of(self.store)

    async def peer(self) -> Store:
        """A second, independent connection to the same data. Raises NotRun if there can be none."""
        peer = await self.harness.peer(self.namespace)
        if peer is None:
            raise NotRun(PRIVATE, physics=is_private(self.store))
        self._opened.append(peer)
        await self.store.records.put("suite", "seen by a peer?", True)
        if await peer.records.get("suite", "seen by a peer?") is None:
            if is_private(self.store):
                raise NotRun(PRIVATE, physics=True)
            raise AssertionError("a second Store of the same URL does not see the data of the first")
        await self.store.records.delete("suite", "seen by a peer?")
        return peer

    async def reopen(self) -> None:
        """Close `store` and open it again. Raises NotRun if the data would be gone."""
        reopened = await self.harness.reopen(self.store)
        if reopened is None:  # a peer that sees the data can keep them
            try:
                reopened = await self.peer()
            except NotRun:
                raise NotRun(VOLATILE, physics=True) from None
            await self.store.close()
        else:
            self._opened.append(reopened)
        self._opened.remove(self.store)
        self.store = reopened

    async def elsewhere(self, suffix: str) -> Store:
        """A Store of another namespace, whose name begins with that of this one."""
        namespace = f"{self.namespace}{suffix}"
        self._namespaces.add(namespace)
        store = await self.harness.open(namespace)
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Drop what the check wrote, and close all that it opened."""
        stores, self._opened = self._opened, []
        left = self._namespaces
        try:
            for store in stores:
                if store.namespace in left and store._state == "open":
                    await driver_of(store).schema("drop")
                    left.discard(store.namespace)
        finally:
            for store in stores:
                await store.close()
        for namespace in left:  # the check closed their Stores itself
            driver = driver_of(self.harness.connect(namespace))
            try:
                await driver.schema("drop")
            finally:
                await driver.close()

    # At the driver

    async def trip(self, *batches: Batch) -> Reply[Outcome]:
        """One write trip."""
        return await self.driver.commit(batches, uuid4().hex)

    async def commit(self, batch: Batch) -> Committed:
        """One batch in a trip of its own, which must not be refused."""
        (outcome,) = (await self.trip(batch)).results
        assert isinstance(outcome, Committed), f"refused: {outcome}"
        return outcome

    async def refused(self, batch: Batch) -> Refused:
        """One batch in a trip of its own, which must be refused."""
        (outcome,) = (await self.trip(batch)).results
        assert isinstance(outcome, Refused), f"not refused: {outcome}"
        return outcome

    async def claim(self, *requests: ClaimRequest) -> Reply[Claimed]:
        """One trip of claims."""
        return await self.driver.claim(requests, uuid4().hex)

    async def claim_some(self, queue: str, limit: int = 100, lease: int = 60_000) -> tuple[TaskImage, ...]:
        """What one claim finds in a queue."""
        (found,) = (await self.claim(ClaimTasks(queue, "w", lease, limit))).results
        return cast(ClaimedTasks, found).tasks

    async def record(self, collection: str, key: str) -> RecordImage | None:
        (image,) = (await self.driver.read([RecordRef(collection, key)])).results
        return cast("RecordImage | None", image)

    async def task(self, id: str) -> TaskImage:
        """The image of a task that must be there."""
        (image,) = (await self.driver.read([TaskRef(id)])).results
        assert isinstance(image, TaskImage), f"task {id!r} reads as {image!r}"
        return image

    # Time

    async def now(self) -> int:
        """The store's instant."""
        ref: ReadRef = RecordRef("suite", "clock")
        return (await self.driver.read([ref])).at

    async def until(self, instant: int) -> None:
        """Wait until the store's own clock has passed the instant."""
        deadline = time.monotonic() + PATIENCE
        while (now := await self.now()) <= instant:
            assert time.monotonic() < deadline, f"the store's clock stays at {now}, before {instant}"
            await self.harness.sleep(min(max(instant - now, 1), 100) / 1000)

    async def until_lease_over(self, id: str) -> None:
        """Wait until the lease of a task has run out."""
        task = await self.task(id)
        assert task.lease_until is not None, f"task {id!r} is not leased"
        await self.until(task.lease_until)


async def raises(
    error: type[HiveStateError], call: Callable[[], Awaitable[object]] | Awaitable[object]
) -> HiveStateError:
    """The error, which must be of this class; anything else is a failure that says what came instead."""
    try:
        answer = await (call() if callable(call) else call)
    except error as raised:
        return raised
    except Exception as other:
        raise AssertionError(f"{type(other).__name__} ({other}) instead of {error.__name__}") from other
    raise AssertionError(f"{error.__name__} was not raised; the answer was {answer!r}")


async def together(*calls: Awaitable[Answer]) -> list[Answer]:
    """The answers of calls that are all started before any of them is awaited."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_as_coroutine(call)) for call in calls]
    return [task.result() for task in tasks]


async def settled(*calls: Awaitable[Answer]) -> list[Answer | HiveStateError]:
    """As `together`, with errors of the tree as answers."""

    async def settle(call: Awaitable[Answer]) -> Answer | HiveStateError:
        try:
            return await call
        except HiveStateError as error:
            return error

    return await together(*map(settle, calls))


async def _as_coroutine(call: Awaitable[Answer]) -> Answer:
    return await call
