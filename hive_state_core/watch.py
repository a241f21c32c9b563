"""Waiting for what the store holds to change: records that are watched, tasks that end.

Each is a hint and a look. The hint may be lost, so there is a look every `poll` in any case; a look shows
the latest state only, so what came and went between two of them is skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import cast

import msgspec

from hive_state_core import validate
from hive_state_core.errors import Closed, LeaseLost, NotFound, Unavailable
from hive_state_core.leases import Lease
from hive_state_core.model import CollectionRef, RecordImage, RecordRef, TaskImage, TaskRef
from hive_state_core.paging import pages
from hive_state_core.refusals import describe
from hive_state_core.spi import Scan
from hive_state_core.task_model import Task
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration
from hive_state_core.waiting import Watch

AT_ONCE = 100
"""Changed records that are read together."""

log: logging.Logger = logging.getLogger("hive_state")


class Seen(msgspec.Struct, frozen=True):
    """The latest of a record; `image` None: it is absent."""

    key: str
    image: RecordImage | None


async def watch_record(trips: Trips, ref: RecordRef, poll: Duration) -> AsyncGenerator[Seen, None]:
    """See `Records.watch`, with a key."""
    watch = Watch(trips, ref, poll)
    version: int | None = None
    try:
        while True:
            images = await watch.look(describe(ref), partial(trips.read, (ref,)))
            if images is None:
                continue
            image = cast("RecordImage | None", images[0])
            before, version = version, image.version if image else 0
            if version == before:
                await watch.wait()
            else:
                watch.found()
                yield Seen(ref.key, image)
    except Closed:
        log.info("the store was closed; %s is not watched any more", describe(ref))
    finally:
        await watch.close()


async def watch_collection(trips: Trips, query: Scan, poll: Duration) -> AsyncGenerator[Seen, None]:
    """See `Records.watch`, without a key. Remembers the version of every record there is."""
    collection = query.within or ""
    what = f"collection {collection!r}"
    query = msgspec.structs.replace(query, values=False)
    watch = Watch(trips, CollectionRef(collection), poll)
    known: dict[str, int] = {}
    try:
        while True:
            now = await watch.look(what, partial(_versions, trips, query))
            if now is None:
                continue
            changed = [key for key, version in now.items() if known.get(key) != version]
            gone = known.keys() - now.keys()
            for start in range(0, len(changed), AT_ONCE):
                keys = changed[start : start + AT_ONCE]
                images = await watch.look(what, partial(_images, trips, collection, keys))
                for key, image in zip(keys, images or (), strict=images is not None):
                    if image is not None:
                        known[key] = image.version
                        yield Seen(key, image)
                    elif key in known:
                        gone.add(key)
            for key in sorted(gone):
                del known[key]
                yield Seen(key, None)
            if changed or gone:
                watch.found()
            else:
                await watch.wait()
    except Closed:
        log.info("the store was closed; %s is not watched any more", what)
    finally:
        await watch.close()


async def _versions(trips: Trips, query: Scan) -> dict[str, int]:
    return {image.ref.key: image.version async for image in pages(trips, query, None)}


async def _images(trips: Trips, collection: str, keys: list[str]) -> Sequence[RecordImage | None]:
    refs = tuple([RecordRef(collection, key) for key in keys])
    return cast("Sequence[RecordImage | None]", await trips.read(refs))


async def wait_for_end(trips: Trips, ref: TaskRef, timeout: float | None, poll: Duration) -> Task:
    """See `Tasks.wait`."""
    validate.timeout(timeout)
    watch = Watch(trips, ref, poll)
    task: Task | None = None
    try:
        async with asyncio.timeout(timeout):
            while task is None or not task.done:
                images = await watch.look(describe(ref), partial(trips.read, (ref,)))
                if images is None:
                    continue
                if images[0] is None:
                    raise NotFound(f"{describe(ref)} does not exist")
                task = Task(cast(TaskImage, images[0]))
                if not task.done:
                    await watch.wait()
    except TimeoutError:
        if task is None:
            raise Unavailable(f"no answer within {timeout} s") from None
    finally:
        await watch.close()
    return task


async def wait_for_cancel(trips: Trips, lease: Lease, poll: Duration) -> None:
    """See `Tasks.cancellation`."""
    ref = TaskRef(lease.id)
    watch = Watch(trips, ref, poll)
    try:
        while not lease.cancel_requested:
            images = await watch.look(describe(ref), partial(trips.read, (ref,)))
            if images is None:
                continue
            image = cast("TaskImage | None", images[0])
            if image is None or image.token != lease.token:
                raise LeaseLost(f"the lease of {describe(ref)} is not current any more")
            lease.cancel_requested = image.cancel_requested
            if not lease.cancel_requested:
                await watch.wait()
    finally:
        await watch.close()
