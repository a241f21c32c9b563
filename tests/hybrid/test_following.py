"""A store that may follow the hive elsewhere answers from its cache still, and then from the one there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.migration.crossing import cross
from hive_state_core.migration.phases import Phase
from hive_state_core.spi import CACHE
from tests.migration.sides import Sides

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


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """To a hybrid that answers from a process's memory for long, and from its fast store."""
    files = {name: {"url": f"sqlite:///{tmp_path}/{name}.db"} for name in ("local", "durable")}
    pairs = {
        "prod": {"durable": "durable", "fast": "fast", "max_staleness": 30.4, "near_ttl": 30.0},
        "moving": {"primary": "local", "secondary": "prod"},
    }
    fast = {"url": f"memory://{uuid4().hex}"}
    kinds = {"prod": "hybrid", "moving": "dual-write"}
    tables = {name: {"backend": kinds[name], **pair} for name, pair in pairs.items()}
    return Sides(Config({"use": "moving", "stores": {**files, "fast": fast, **tables}}))


async def value(hive: Store) -> object:
    record = await hive.records.get("c", "k")
    assert record is not None
    return record.value


@pytest.mark.parametrize("opened", ["local", "moving"])
async def test_who_moves_to_a_cache_takes_it_up_and_who_leaves_drops_it(sides: Sides, opened: str) -> None:
    async with sides.open(opened) as hive:
        await hive.records.put("c", "k", 0)
        await sides.reach(Phase.VERIFIED)
        assert hive.telemetry.cache() == (0, 0)
        async with sides.live() as live:
            await cross(live)
            await hive.records.put("c", "k", 1)
            assert [await value(hive) for _ in range(3)] == [1, 1, 1]
            asked, hits = hive.telemetry.cache()
            assert (asked, hits >= 2) == (3, True)
            assert "cache_connected" in {check.name for check in (await hive.health()).checks}
            await live.distrust()
            await cross(live, back=True)
        async with open_store(sides.source, janitor=False, follow=False) as other:
            await hive.records.put("c", "seen", "that the hive has moved")
            await other.records.put("c", "k", 2)
        assert await value(hive) == 2  # the memory of the process would still say 1
        assert hive.telemetry.cache() == (asked, hits)
        assert "cache_connected" not in {check.name for check in (await hive.health()).checks}


class Leaving(Sides):
    """From the hybrid."""

    @property
    def source(self) -> Choice:
        return choose("prod", self.config)

    @property
    def target(self) -> Choice:
        return choose("local", self.config)


async def test_who_begins_at_a_cache_drops_it_too(sides: Sides) -> None:
    sides = Leaving(sides.config)
    async with sides.open("prod") as hive, sides.open("prod") as other:
        await hive.records.put("c", "k", 0)
        await sides.reach(Phase.VERIFIED)
        assert [await value(hive) for _ in range(2)] == [0, 0]
        async with sides.live() as live:
            await cross(live)
        await other.records.put("c", "k", 1)
        await hive.records.put("c", "seen", "that the hive has moved")
        assert await value(hive) == 1


async def test_a_standby_marks_nothing_for_its_cache(sides: Sides) -> None:
    """Or all that a migration has brought would be dropped one by one from a cache that does not have it."""
    async with sides.open("local") as hive, sides.open("durable") as durable:
        await hive.records.put("c", "k", 0)
        await sides.reach(Phase.VERIFIED)
        assert not await durable.replication().marks(CACHE, 1)
        async with sides.live() as live:
            await cross(live)
        assert CACHE in (await durable.replication().control()).sinks
