"""The two stores of a migration, opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from hive_state_core.migration.leasing import LOOK, Lease
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Phase, read_job
from hive_state_core.migration.running import Move, StaleCopy, Tell
from hive_state_core.spi import Foreign
from hive_state_core.store import Store, open_store

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.report import Report

Answer = TypeVar("Answer")


@asynccontextmanager
async def opened(source: Choice, target: Choice, tell: Tell) -> AsyncIterator[Move]:
    """A `Move` between them. Neither is swept meanwhile by us."""
    async with _both(source, target) as (one, other):
        yield Move(one, other, (name_of(source), name_of(target)), tell)


@asynccontextmanager
async def _both(source: Choice, target: Choice) -> AsyncIterator[tuple[Store, Store]]:
    """Each of them itself, wherever the hive lives."""
    async with (
        open_store(source, janitor=False, follow=False) as one,
        open_store(target, janitor=False, follow=False) as other,
    ):
        yield one, other


async def move(source: Choice, target: Choice, tell: Tell, *, batch: int, copy_only: bool) -> Report:
    """As `Move.run`, with what goes before: the target's schema is created, and a copy in it that is of no
    use any more is dropped."""
    await open_store(target).upgrade_schema()

    async def attempt() -> Report:
        async with opened(source, target, tell) as ready:
            return await ready.run(batch=batch, copy_only=copy_only)

    return await _without_stale_copy(source, target, attempt)


@asynccontextmanager
async def live(source: Choice, target: Choice) -> AsyncIterator[Live]:
    """A `Live` between them. Raises Unsupported if one of them cannot be moved."""
    async with _both(source, target) as (one, other):
        for store in (one, other):
            store.replication()
        yield Live(one._driver, other._driver, (name_of(source), name_of(target)))


async def prepare(source: Choice, target: Choice, **knobs: object) -> None:
    """As `Live.prepare`, with what goes before: the target's schema is created, and a copy in it that is of
    no use any more is dropped; a source of a program that knows nothing of us is followed."""
    await open_store(target).upgrade_schema()

    async def attempt() -> None:
        async with live(source, target) as ready:
            if isinstance(ready.source, Foreign):
                await ready.source.follow()
            await ready.prepare(**knobs)

    await _without_stale_copy(source, target, attempt)


async def _without_stale_copy(
    source: Choice, target: Choice, attempt: Callable[[], Awaitable[Answer]]
) -> Answer:
    """What the attempt returns. A copy that it finds to be of no use any more is dropped, by one of those who
    find it at once: under the lease, and after another look, for it may be the new one of another by then."""
    try:
        return await attempt()
    except StaleCopy:
        pass
    async with open_store(source, janitor=False, follow=False) as hive:
        lease = Lease(hive.replication())
        try:
            while True:
                ours = await lease.hold()
                try:
                    return await attempt()
                except StaleCopy:
                    await (drop(target) if ours else asyncio.sleep(LOOK))
        finally:
            await lease.release()


async def begin_anew(source: Choice, target: Choice) -> None:
    """Back to prepared: nothing is marked any more, and the target is empty. Raises as `Live.release`."""
    async with live(source, target) as ready:
        await ready.release()
    await drop(target)
    await prepare(source, target)


async def cancel(source: Choice, target: Choice) -> bool:
    """Back to legacy: nothing is marked any more, the stores do not know each other, and the target is empty.
    Whether there was a migration. Raises Conflict if the hive lives in the target."""
    async with live(source, target) as ready:
        job = await read_job(ready.source)
        if job is None or job.phase is Phase.COMPLETED:
            if job is None and isinstance(ready.source, Foreign):
                await ready.source.leave()
            return False
        await ready.release()
        is_ours = (await ready.target.control()).store_id == job.target
    if is_ours:
        await drop(target)
    async with live(source, target) as ready:
        await ready.forget()
        if isinstance(ready.source, Foreign):
            await ready.source.leave()
    return True


async def drop(target: Choice) -> None:
    """Remove what the target's namespace holds."""
    await open_store(target, follow=False)._driver.schema("drop")


def name_of(choice: Choice) -> str:
    """What the control rows call the store: the name it is configured under, or its URL without password."""
    return choice.name or str(choice.url)
