"""A store that may follow the hive elsewhere still answers from its cache."""

from __future__ import annotations

import asyncio
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


async def test_health_tells_of_the_reads_of_those_that_share(hybrid: Hybrid, tmp_path: Path) -> None:
    choice = hybrid(f"sqlite:///{tmp_path}/hive.db", "memory://shared-reads", cache_hit_ratio_target=0.999)
    async with open_store(choice, janitor=False) as hive, open_store(choice, janitor=False) as probe:
        await hive.records.put("c", "k", 1)
        for _ in range(1500):
            await hive.records.get("c", "k")
        for n in range(100):
            await hive.records.get("c", f"none-{n}")
        hive.share_stats(every=60)
        while not await probe.shared_stats():
            await asyncio.sleep(0.01)
        checks = {check.name: check for check in (await probe.health()).checks}
    ratio = checks["cache_hit_ratio"]
    assert ratio.status == "warn"
    assert ratio.value is not None
    assert 0.9 < ratio.value < 0.999
