"""Processes tell each other of their latencies."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import InvalidArgument, Unavailable
from hive_state_core.histogram import Histogram
from hive_state_core.model import RecordRef
from hive_state_core.sharing import COLLECTION
from hive_state_core.spi import Batch, Put
from hive_state_core.telemetry import Measured, summed


async def seen(hive: Store, stores: int) -> dict[str, Measured]:
    while len(found := await hive.shared_stats()) != stores:
        await asyncio.sleep(0.01)
    return found


async def test_what_two_stores_share_is_seen_by_a_third(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"
    async with open_store(url) as one, open_store(url) as two, open_store(url) as third:
        one.telemetry.by_agent = True
        await one.agents.register("a")
        for _ in range(3):
            await two.records.put("c", "k", 1)
        one.share_stats(every=30)
        two.share_stats(every=30)
        found = await seen(third, 2)
    together = summed(found.values())
    assert together.operations["put"].latency().calls == 4
    assert together.agents["a"].latency().calls == 1
    assert together.lanes["commit"].calls == 4


def test_what_was_measured_since_an_earlier_look() -> None:
    def measured(puts: int, gets: int) -> Measured:
        operations = {"put": Histogram({100: puts}, 1.0), "read": Histogram({50: gets}, 0.5)}
        return Measured(operations=operations, agents={}, lanes={}, errors={})

    recent = measured(5, 2).since(measured(3, 2))
    assert {name: each.calls for name, each in recent.operations.items()} == {"put": 2}
    gone = measured(1, 0).since(measured(3, 2))  # a process that shared is gone
    assert gone.operations == {}


async def test_it_is_written_again_and_gone_after_the_end() -> None:
    async with open_store("memory://") as hive:
        hive.share_stats(every=0.05)
        (first,) = (await seen(hive, 1)).values()
        assert "enqueue" not in first.operations
        await hive.tasks.enqueue("q", 1)
        while "enqueue" not in (await seen(hive, 1)).popitem()[1].operations:
            await asyncio.sleep(0.01)
        assert hive._sharing is not None
        await hive._sharing.stop()
        await seen(hive, 0)


async def test_a_store_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store("memory://") as hive:

        async def gone(*_: Any) -> None:
            raise Unavailable("gone")

        monkeypatch.setattr(hive._driver, "commit", gone)
        hive.share_stats(every=0.02)
        while "not shared: gone" not in caplog.text:
            await asyncio.sleep(0.01)
        monkeypatch.undo()
        await seen(hive, 1)


async def test_what_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with open_store("memory://") as hive:
        await hive._trips.commit(Batch((Put(RecordRef(COLLECTION, "of another release"), b"{}"),)))
        with caplog.at_level(logging.WARNING):
            assert await hive.shared_stats() == {}
    assert "of another release" in caplog.text


async def test_it_is_asked_for_once_and_while_open() -> None:
    hive = open_store("memory://")
    with pytest.raises(InvalidArgument):
        hive.share_stats()
    async with hive:
        with pytest.raises(InvalidArgument):
            hive.share_stats(every=0)
        hive.share_stats()
        with pytest.raises(InvalidArgument):
            hive.share_stats()
