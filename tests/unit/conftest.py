"""What the tests of the facets share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from hive_state_conformance import prompt_loop
from hive_state_core import Store, open_store, roster
from hive_state_memory.driver import Memory, MemoryDriver
from tests.virtual_time import is_prompt, loop_factories, read_the_loop

from .driving import Manual


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return loop_factories(item)


@pytest.fixture(autouse=True)
def clock_of_the_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_prompt(request.node):
        monkeypatch.setattr(Memory, "clock", staticmethod(prompt_loop.instant))
        read_the_loop(monkeypatch, roster)


@pytest.fixture
async def hive() -> AsyncIterator[Store]:
    async with open_store("memory://") as store:
        yield store


@pytest.fixture
def memory() -> Manual:
    return Manual()


@pytest.fixture
async def driver(memory: Manual) -> AsyncIterator[MemoryDriver]:
    driver = MemoryDriver(memory, "hive")
    await driver.open()
    yield driver
    await driver.close()
