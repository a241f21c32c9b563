"""Trips whose fate was asked for."""

from __future__ import annotations

import pytest

from hive_state_core import open_store
from hive_state_core.errors import Unavailable
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Put


async def test_a_trip_that_comes_after_its_void_fails(url: str) -> None:
    async with open_store(url) as hive:
        assert await hive._driver.outcome("late") is None
        with pytest.raises(Unavailable, match="given up before it reached the server"):
            await hive._driver.commit([Batch((Put(RecordRef("c", "k"), b"1"),))], "late")
        assert await hive.records.get("c", "k") is None
