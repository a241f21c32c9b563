"""A store that may follow the hive elsewhere still answers from its cache."""

from __future__ import annotations

from pathlib import Path

from hive_state_core import open_store

from .conftest import Hybrid


async def test_hits_reach_the_user(hybrid: Hybrid, tmp_path: Path) -> None:
    choice = hybrid(f"sqlite:///{tmp_path}/hive.db", "memory://following", consistency="linearizable")
    async with open_store(choice, janitor=False) as hive:
        await hive.records.put("c", "k", 1)
        for _ in range(3):
            record = await hive.records.get("c", "k")
            assert record is not None
            assert record.value == 1
        cache = (await hive._driver.stats()).cache
    assert cache is not None
    assert cache.hits >= 1
