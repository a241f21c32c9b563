"""The marker `prompt`: on a loop whose clock goes on as the test waits, and not as the machine works.

For stores in memory, without threads. Who reads a clock elsewhere is told to read the loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import ModuleType

import pytest

from hive_state_conformance.prompt_loop import PromptLoop

PROMPT = "prompt"


def is_prompt(item: pytest.Item) -> bool:
    return item.get_closest_marker(PROMPT) is not None


def loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For the hook `pytest_asyncio_loop_factories`."""
    return {PROMPT: PromptLoop} if is_prompt(item) else {"real": asyncio.new_event_loop}


def now() -> float:
    """In place of `time.monotonic`."""
    return asyncio.get_running_loop().time()


def read_the_loop(patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """`monotonic` of these modules is the loop's clock."""
    for module in modules:
        patch.setattr(module, "monotonic", now)
