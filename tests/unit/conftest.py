"""What the tests of the facets share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from hive_state_conformance import prompt_loop
from hive_state_core import Store, open_store, roster
from hive_state_memory.driver import Memory

PROMPT = "prompt"
"""Marks tests of stores in memory, without threads: time goes by as they wait, not as the machine works."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker(PROMPT):
        return {PROMPT: prompt_loop.PromptLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def clock_of_the_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker(PROMPT):
        monkeypatch.setattr(Memory, "clock", staticmethod(prompt_loop.instant))
        monkeypatch.setattr(roster, "monotonic", lambda: asyncio.get_running_loop().time())


@pytest.fixture
async def hive() -> AsyncIterator[Store]:
    async with open_store("memory://") as store:
        yield store
