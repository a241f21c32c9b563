"""A process whose configuration knows the store to which the hive moves goes along, without an edit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.choosing import choose
from hive_state_core.config import Config
from hive_state_core.errors import NotPrimary, StoreMoved
from hive_state_core.following import Following
from hive_state_core.migration.handover import SYNCED, finish, synced
from hive_state_core.migration.presence import processes
from hive_state_core.spi import Control, ControlState, Replication
from hive_state_sqlite.driver import SqliteDriver

Open = Callable[..., Store]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    tables = {name: {"url": f"sqlite:///{tmp_path}/{name}.db"} for name in ("local", "prod")}
    return Config({"use": "local", "stores": tables})


def store(config: Config, name: str, follow: bool = True) -> Store:
    return open_store(choose(name, config), janitor=False, follow=follow)


async def change(port: Replication, **changes: object) -> Control:
    row = await port.control()
    return await port.control(row.epoch, replace(row, **changes))


async def leave(source: Replication, target: Replication, to: str) -> Control:
    """The source has moved, the target is not open yet."""
    sealed = await change(source, state=ControlState.SEALED, term=(await source.control()).term + 5, peer=to)
    await target.note({SYNCED: synced(sealed)})
    return await change(source, state=ControlState.MOVED)


async def test_writes_reads_and_waits_follow(config: Config) -> None:
    async with (
        store(config, "local", follow=False) as local,
        store(config, "prod", follow=False) as prod,
        store(config, "local") as hive,
    ):
        await change(prod.replication(), state=ControlState.STANDBY, peer="local")
        await hive.records.put("c", "k", "before")
        hint = asyncio.create_task(hive._driver.wait(frozenset(), 60_000))
        await leave(local.replication(), prod.replication(), "prod")
        assert await hive.records.get("c", "k") is None  # where it is now, this test has copied nothing
        await hive.records.put("c", "k", "after")
        assert (await prod.records.get("c", "k")).value == "after"  # type: ignore[union-attr]
        assert (await local.records.get("c", "k")).value == "before"  # type: ignore[union-attr]
        await asyncio.wait_for(hint, 5)
        assert await hive.replication().control() == await prod.replication().control()


async def test_the_way_back(config: Config) -> None:
    async with (
        store(config, "local", follow=False) as local,
        store(config, "prod", follow=False) as prod,
        store(config, "local") as hive,
    ):
        await change(prod.replication(), state=ControlState.STANDBY, peer="local")
        for n in range(3):
            await leave(local.replication(), prod.replication(), "prod")
            await hive.records.put("c", "there", n)
            await change(prod.replication(), sinks=frozenset())
            await leave(prod.replication(), local.replication(), "local")
            await hive.records.put("c", "here", n)
            await change(local.replication(), sinks=frozenset())
        assert (await local.records.get("c", "here")).value == 2  # type: ignore[union-attr]
        assert (await prod.records.get("c", "there")).value == 2  # type: ignore[union-attr]


async def test_trips_under_way_go_by_the_store_where_the_hive_lives(config: Config) -> None:
    async with (
        store(config, "local", follow=False) as local,
        store(config, "prod", follow=False) as prod,
        store(config, "local") as hive,
    ):
        following, crowd = hive._driver, hive._trips.crowd
        assert isinstance(following, Following)
        await change(prod.replication(), state=ControlState.STANDBY, peer="local")
        assert await following.reach("prod")
        driver = following._members["prod"].driver
        assert isinstance(driver, SqliteDriver)
        driver._features = replace(driver.features, trips=2)
        await leave(local.replication(), prod.replication(), "prod")
        assert crowd.most == 1
        await hive.records.put("c", "k", 1)
        assert crowd.most == 2
        await change(prod.replication(), sinks=frozenset())
        await leave(prod.replication(), local.replication(), "local")
        await hive.records.put("c", "k", 2)
        assert crowd.most == 1


async def test_who_opens_late_begins_where_the_hive_is(config: Config) -> None:
    async with store(config, "local", follow=False) as local, store(config, "prod", follow=False) as prod:
        await change(prod.replication(), state=ControlState.STANDBY, peer="local")
        async with store(config, "prod") as hive:  # configured too early
            await hive.records.put("c", "k", 1)
        assert await local.records.get("c", "k") is not None
        await leave(local.replication(), prod.replication(), "prod")
    async with store(config, "local") as hive, store(config, "prod", follow=False) as prod:
        await hive.records.put("c", "k", 2)
        assert await prod.records.get("c", "k") is not None


async def test_a_peer_that_is_not_known_is_not_followed(config: Config) -> None:
    async with (
        store(config, "local", follow=False) as local,
        store(config, "prod", follow=False) as prod,
        store(config, "local") as hive,
    ):
        await hive.records.put("c", "k", 1)
        await leave(local.replication(), prod.replication(), "elsewhere")
        with pytest.raises(StoreMoved, match='use = "elsewhere"'):
            await hive.records.put("c", "k", 2)
        assert await hive.records.get("c", "k") is not None
    async with store(config, "local") as hive:
        assert await hive.records.get("c", "k") is not None


async def test_nothing_opens_that_does_not_have_everything(config: Config) -> None:
    """Such as a standby that was put back from a backup after the hive went there."""
    async with store(config, "local", follow=False) as local, store(config, "prod", follow=False) as prod:
        source, target = local.replication(), prod.replication()
        await change(target, state=ControlState.STANDBY, peer="local")
        await leave(source, target, "prod")
        await target.note({SYNCED: b"of another term"})
        assert (await finish(source, target)).state is ControlState.STANDBY
        with pytest.raises(NotPrimary):
            await prod.records.put("c", "k", 1)


async def test_of_many_who_open_the_other_store_one_does(config: Config) -> None:
    """Who moves the hive, and whoever finds it left: all are told the same row, and no error."""
    async with store(config, "local", follow=False) as local, store(config, "prod", follow=False) as prod:
        source, target = local.replication(), prod.replication()
        standby = await change(target, state=ControlState.STANDBY, peer="local")
        left = await leave(source, target, "prod")
        rows = await asyncio.gather(*(finish(source, target) for _ in range(5)))
        rows.append(await finish(source, target))
        assert [(row.state, row.term, row.epoch) for row in rows] == [
            (ControlState.OPEN, left.term, standby.epoch + 1)
        ] * 6


async def test_the_store_at_the_other_end_is_reached_ahead(config: Config) -> None:
    """Nobody has to wait for connections when the hive moves; and who cannot reach it is told of."""
    async with store(config, "local", follow=False) as local, store(config, "local") as hive:
        following = hive._driver
        assert isinstance(following, Following)
        port = local.replication()

        async def reaches() -> bool | None:
            await following._presence._beat()
            (process,) = await processes(local._driver, port)
            return process.reaches

        await change(port, peer="elsewhere")
        assert await reaches() is False
        await change(port, peer="prod")
        assert await reaches() is True
        await store(config, "prod")._driver.schema("drop")
        assert await reaches() is False
        assert await reaches() is True


@pytest.mark.parametrize("reads", [True, False])
async def test_who_works_on_the_hive_sees_at_once_that_it_is_moved(config: Config, reads: bool) -> None:
    """A switch may come before its next look at the control row, and must not find it unprepared."""
    hive = store(config, "local")
    following = hive._driver
    assert isinstance(following, Following)
    following._presence._every = 3600.0
    async with store(config, "local", follow=False) as local, hive:
        await hive.records.put("c", "k", 1)
        await change(local.replication(), peer="prod")
        await (hive.records.get("c", "k") if reads else hive.records.put("c", "k", 2))
        async with asyncio.timeout(30):
            while not [each for each in await processes(local._driver, local.replication()) if each.reaches]:
                await asyncio.sleep(0.01)


async def test_without_other_stores_nothing_stands_between(config: Config) -> None:
    alone = Config({"stores": {"local": config.stores["local"]}})
    driver = store(alone, "local")._driver
    assert type(driver).__name__ == "SqliteDriver"
