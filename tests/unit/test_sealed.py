"""A write of a sealed store waits, but not for ever and not beyond its store's end."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from hive_state_core import open_store, trips
from hive_state_core.errors import Indeterminate, Sealed
from hive_state_core.spi import Control, ControlState
from hive_state_core.store import Store

pytestmark = pytest.mark.prompt


async def turn(store: Store, state: ControlState) -> Control:
    port = store.replication()
    row = await port.control()
    return await port.control(row.epoch, replace(row, state=state, term=row.term + 1))


async def test_it_is_refused_when_the_budget_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trips, "SWITCH_BUDGET", 0.05)
    async with open_store("memory://") as hive:
        await turn(hive, ControlState.SEALED)
        with pytest.raises(Sealed):
            await hive.records.put("c", "k", 1)
        assert await hive.records.get("c", "k") is None


async def test_closing_does_not_wait_for_it() -> None:
    hive = open_store("memory://")
    await hive.open()
    await turn(hive, ControlState.SEALED)
    writing = asyncio.create_task(hive.records.put("c", "k", 1))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(hive.close(), 5)
    with pytest.raises(Sealed):
        await writing


async def test_a_caller_may_give_up_earlier() -> None:
    async with open_store("memory://") as hive:
        await turn(hive, ControlState.SEALED)
        with pytest.raises(Indeterminate):  # it is done once the store is open
            await hive.records.put("c", "k", 1, timeout=0.02)
        await turn(hive, ControlState.OPEN)
        await hive.records.put("c", "other", 1)
        assert await hive.records.get("c", "k") is not None


async def test_all_that_waited_is_done_in_order() -> None:
    async with open_store("memory://") as hive:
        await turn(hive, ControlState.SEALED)
        writes = [asyncio.create_task(hive.records.put("c", f"{n}", n)) for n in range(20)]
        claim = asyncio.create_task(hive.tasks.claim("q", worker="w"))
        await asyncio.sleep(0.03)
        await turn(hive, ControlState.OPEN)
        versions = await asyncio.gather(*writes)
        assert versions == sorted(versions)
        assert await claim == []
