"""A process that sleeps through the end of what it did, and wakes, changes nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from hive_state_core import open_store
from hive_state_core.config_file import read_config
from hive_state_core.spi import Retention

from .hive import Hive

pytestmark = pytest.mark.timeout(120)

START = ("start", "--from", "local", "--to", "prod")


async def _write(hive: Hive, deleted: bool) -> None:
    """A record; or delete it, and what is left of it."""
    config = read_config(hive.folder / "hive-state.toml")
    async with open_store("local", config=config, janitor=False) as store:
        if deleted:
            await store.records.delete("c", "ghost")
            await store._driver.sweep(100, Retention(tombstones=0))
        else:
            await store.records.put("c", "ghost", "of an earlier migration")


async def _exists(hive: Hive, name: str) -> bool:
    config = read_config(hive.folder / "hive-state.toml")
    async with open_store(name, config=config, janitor=False, follow=False) as store:
        return await store.records.get("c", "ghost") is not None


def test_a_pump_that_sleeps_until_the_next_migration(tmp_path: Path) -> None:
    """It holds an image of a record that nobody remembers by then."""
    with Hive(tmp_path) as hive:
        hive.succeed(*START)
        asyncio.run(_write(hive, deleted=False))
        zombie = hive.popen("run", fail=("pump: images read", "stop"))
        hive.until_stopped(zombie)
        hive.succeed("cancel", "--from", "local", "--to", "prod")
        asyncio.run(_write(hive, deleted=True))
        hive.succeed(*START)
        zombie.send_signal(signal.SIGCONT)
        hive.work(1.5)
        zombie.send_signal(signal.SIGINT)
        zombie.communicate(timeout=30)
        assert not asyncio.run(_exists(hive, "local"))
        assert not asyncio.run(_exists(hive, "prod"))
        hive.succeed("verify")
        hive.require_equal()
