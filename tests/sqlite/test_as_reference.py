"""Random trips of every kind give on SQLite what they give on the reference driver."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_state_core.url import parse_url
from hive_state_sqlite.driver import SqliteDriver
from hive_state_sqlite.options import parse_options
from tests.reference.comparing import Sides, beside_the_reference, seeds
from tests.reference.names import START


@pytest.fixture
async def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    async def set_clock(at: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: at * 1_000_000)

    await set_clock(START)  # a new store begins with the instant at which it is made
    driver = SqliteDriver(
        parse_options(parse_url(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL")), "hive"
    )
    await driver.open()
    async with beside_the_reference(driver, set_clock) as sides:
        yield sides
    await driver.close()


@pytest.mark.parametrize("seed", seeds(6))
async def test_as_the_reference(sides: Sides, seed: int) -> None:
    await sides.compare(seed)
