"""A store in which a hive may live, among those that a process knows."""

from __future__ import annotations

import asyncio
from typing import cast

from hive_state_core.errors import Closed
from hive_state_core.spi import (
    Caching,
    Control,
    ControlState,
    Driver,
    Forgetting,
    Replication,
    SchemaAction,
    SchemaInfo,
    Warming,
)


class Member:
    """A store in which the hive may live. `epoch`: of its control row when it was last seen to live there."""

    def __init__(self, name: str, driver: Driver) -> None:
        self.name = name
        self._take(driver)
        self.epoch: int = -1
        self._opened = self._closed = False
        self._alone = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None

    def _take(self, driver: Driver) -> None:
        self.driver: Driver = driver
        # Slow: once, not at each trip.
        self.cache: Caching | None = driver if isinstance(driver, Caching) else None
        self.forgetting: Forgetting | None = driver if isinstance(driver, Forgetting) else None

    @property
    def port(self) -> Replication:
        return cast(Replication, self.driver)

    async def open(self) -> None:
        """Once; again after an error. Who is cancelled meanwhile leaves it being opened for the next one."""
        if not self._opened:
            self._opening = asyncio.create_task(self._open())
            await asyncio.shield(self._opening)

    async def _open(self) -> None:
        async with self._alone:
            if self._closed:
                raise Closed("the store is closed")
            if not self._opened:
                await self.driver.open()
                self._opened = True

    async def warm(self) -> None:
        """See `spi.Warming`. It is open."""
        if isinstance(self.driver, Warming):
            await self.driver.warm()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        async with self._alone:
            return await self.driver.schema(action)

    async def close(self) -> None:
        self._closed = True
        async with self._alone:
            await self.driver.close()

    async def renew(self, driver: Driver) -> None:
        """By another one of the same store, which is not open."""
        async with self._alone:
            await self.driver.close()
            self._take(driver)
            self._opened = False


def lives(row: Control) -> bool:
    """Whether the store is the hive's, if only for a moment sealed."""
    return row.state in (ControlState.OPEN, ControlState.SEALED)
