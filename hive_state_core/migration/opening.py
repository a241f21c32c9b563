"""The two stores of a migration, opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hive_state_core.migration.running import Move, StaleCopy, Tell
from hive_state_core.store import open_store

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.report import Report


@asynccontextmanager
async def opened(source: Choice, target: Choice, tell: Tell) -> AsyncIterator[Move]:
    """A `Move` between them. Neither is swept meanwhile by us."""
    async with open_store(source, janitor=False) as one, open_store(target, janitor=False) as other:
        yield Move(one, other, (name_of(source), name_of(target)), tell)


async def move(source: Choice, target: Choice, tell: Tell, *, batch: int, copy_only: bool) -> Report:
    """As `Move.run`, with what goes before: the target's schema is created, and a copy in it that is of no
    use any more is dropped."""
    await open_store(target).upgrade_schema()
    try:
        async with opened(source, target, tell) as ready:
            return await ready.run(batch=batch, copy_only=copy_only)
    except StaleCopy:
        await open_store(target)._driver.schema("drop")
    async with opened(source, target, tell) as ready:
        return await ready.run(batch=batch, copy_only=copy_only)


def name_of(choice: Choice) -> str:
    """What the control rows call the store: the name it is configured under, or its URL without password."""
    return choice.name or str(choice.url)
