"""The hand-written competitor does what it is compared for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_state_core.errors import Closed
from hive_state_core.url import parse_url
from hive_state_sqlite.baseline import SqliteBaseline
from hive_state_sqlite.options import parse_options
from tests.reference.baselines import CHECKS, Check


def baseline_in(folder: Path) -> SqliteBaseline:
    return SqliteBaseline(parse_options(parse_url(f"sqlite:///{folder}/hive.db?synchronous=NORMAL")))


@pytest.fixture
async def baseline(tmp_path: Path) -> AsyncIterator[SqliteBaseline]:
    made = baseline_in(tmp_path)
    await made.open()
    yield made
    await made.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Closed):
        await made.get("a")


@pytest.mark.parametrize("check", CHECKS)
async def test_it_does_what_it_is_compared_for(baseline: SqliteBaseline, check: Check) -> None:
    await check(baseline)


@pytest.mark.parametrize("turns", range(5))
async def test_interrupted_while_it_is_opened(tmp_path: Path, turns: int) -> None:
    before = threading.active_count()
    made = baseline_in(tmp_path)
    opening = asyncio.create_task(made.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await made.close()
    assert list(tmp_path.iterdir()) == []
    async with asyncio.timeout(10):
        while threading.active_count() > before:  # a thread ends a moment after its connection
            await asyncio.sleep(0.001)
