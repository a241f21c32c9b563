"""The fast store wakes those who wait, and nothing is lost but time where it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.runner import conform
from hive_state_core import Store, open_store
from hive_state_core.model import QueueRef, Topic

from .conftest import Hybrid
from .test_conformance import failed, faults

QUEUE = frozenset[Topic]({QueueRef("q")})


async def deaf(topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
    """A durable store that hears nothing."""
    await asyncio.sleep(timeout / 1000)
    return frozenset()


def deafen(hive: Store) -> None:
    hive._driver._at.driver._durable.wait = deaf  # type: ignore[attr-defined]


@pytest.fixture
def durable(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"


async def heard_within(hive: Store, peer: Store, seconds: float) -> bool:
    """Whether a task that the peer enqueues is heard of."""
    waiting = asyncio.create_task(hive._driver.wait(QUEUE, int(seconds * 1000)))
    await asyncio.sleep(0.05)
    await peer.tasks.enqueue("q", 1)
    return bool(await waiting)


async def test_heard_though_the_durable_store_says_nothing(
    durable: str, valkey_url: str, hybrid: Hybrid
) -> None:
    choice = hybrid(durable, valkey_url)
    async with open_store(choice, janitor=False) as hive, open_store(choice, janitor=False) as peer:
        deafen(hive)
        assert any([await heard_within(hive, peer, 3) for _ in range(2)])  # the first begins to listen


async def test_without_the_fast_store_the_durable_one_wakes(
    durable: str, valkey: Any, hybrid: Hybrid
) -> None:
    choice = hybrid(durable, valkey.url)
    await asyncio.to_thread(valkey.kill)
    async with open_store(choice, janitor=False) as hive, open_store(choice, janitor=False) as peer:
        assert await heard_within(hive, peer, 5)


async def test_heard_again_after_a_restart(durable: str, valkey: Any, hybrid: Hybrid) -> None:
    choice = hybrid(durable, valkey.url)
    async with open_store(choice, janitor=False) as hive, open_store(choice, janitor=False) as peer:
        deafen(hive)
        await heard_within(hive, peer, 1)
        await asyncio.to_thread(valkey.kill)
        await asyncio.to_thread(valkey.start)
        until = monotonic() + 10
        while not await heard_within(hive, peer, 0.5):
            assert monotonic() < until, "it is deaf for good"


async def test_who_enqueues_and_ends_is_heard(durable: str, valkey_url: str, hybrid: Hybrid) -> None:
    """The second task is told of together with what follows within a moment, and nothing does."""
    choice = hybrid(durable, valkey_url)
    async with open_store(choice, janitor=False) as hive:
        deafen(hive)
        await hive._driver.wait(QUEUE, 300)  # begins to listen
        async with open_store(choice, janitor=False) as peer:
            await peer.tasks.enqueue("other", 1)
            waiting = asyncio.create_task(hive._driver.wait(QUEUE, 3000))
            await asyncio.sleep(0)
            await peer.tasks.enqueue("q", 1)
        assert await waiting


@faults
async def test_what_the_suite_says_of_waking(durable: str, valkey_url: str, hybrid: Hybrid) -> None:
    checks = ["records", "tasks", "streams", "not_before_visible", "many_waits", "work_gets_what_comes"]
    report = await conform(
        UrlHarness(hybrid(durable, valkey_url)), select=[f"wake.{each}" for each in checks]
    )
    assert not failed(report)
