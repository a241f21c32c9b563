"""The stores of another harness, with hints as bad as they may be: nothing may depend on them."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, cast

from hive_state_conformance.harness import Harness, driver_of
from hive_state_core.model import Topic
from hive_state_core.spi import Driver
from hive_state_core.store import Store


class Wakes(Enum):
    """How badly `wait` behaves, within what it is allowed."""

    LOST = "lost"  #: nothing is ever heard
    DOUBLED = "doubled"  #: everything is heard at once, though nothing happened
    LATE = "late"  #: what was heard is told only after a while, and a third of it never


LATE_BY = 0.05
"""Seconds."""


class ChaoticDriver:
    """Forwards all but `wait` to the driver below."""

    def __init__(self, driver: Driver, wakes: Wakes) -> None:
        self._driver = driver
        self._wakes = wakes
        self._heard = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        if self._wakes is Wakes.DOUBLED:
            await asyncio.sleep(0)
            return topics
        if self._wakes is Wakes.LOST:
            await asyncio.sleep(timeout / 1000)
            return frozenset()
        heard = await self._driver.wait(topics, timeout)
        await asyncio.sleep(LATE_BY if heard else 0)
        self._heard += 1
        return heard if self._heard % 3 else frozenset()


class ChaosHarness(Harness):
    """Its own clock, namespaces and peers are those of the harness below."""

    def __init__(self, harness: Harness, wakes: Wakes) -> None:
        self.harness = harness
        self.wakes = wakes
        self.name = f"{harness.name} with wakes {wakes.value}"

    def connect(self, namespace: str) -> Store:
        store = self.harness.connect(namespace)
        driver = cast(Driver, ChaoticDriver(driver_of(store), self.wakes))
        return Store(driver, backend=store.backend, url=store.url)

    async def sleep(self, seconds: float) -> None:
        await self.harness.sleep(seconds)
