"""A namespace of its own for `demo` and `bench`, which is gone afterwards however they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from hive_state_conformance.harness import driver_of, is_private
from hive_state_core.choosing import Choice
from hive_state_core.errors import HiveStateError
from hive_state_core.store import Store, open_store


@asynccontextmanager
async def scratch(where: str | Choice, prefix: str) -> AsyncIterator[Store]:
    """An open Store of a new namespace. It is closed and its namespace dropped, also on Ctrl-C."""
    store = open_store(where, namespace=f"{prefix}-{uuid4().hex[:12]}", janitor=False)
    try:
        async with store:
            yield store
    except BaseException:
        with suppress(HiveStateError):  # why the block ended is what has to be told
            await _drop(where, store.namespace)
        raise
    await _drop(where, store.namespace)


@asynccontextmanager
async def witness(where: str | Choice, store: Store) -> AsyncIterator[Store]:
    """A second connection that sees the data of `store`: what it reads was not just remembered by the
    first. Where there can be none, `store` itself."""
    if is_private(store):
        yield store
        return
    async with open_store(where, namespace=store.namespace) as other:
        yield other


async def _drop(where: str | Choice, namespace: str) -> None:
    """By a driver of its own: nothing of the closed one is under way any more."""
    driver = driver_of(open_store(where, namespace=namespace))
    try:
        await driver.schema("drop")
    finally:
        await driver.close()
