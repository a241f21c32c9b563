"""Drills that hold, and that find each weakening when it is switched on in the process that they stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hive_state_core import open_store
from hive_state_core.config_file import read_config
from hive_state_core.spi import Retention

from .hive import ALL, Hive

pytestmark = pytest.mark.timeout(240)

START = ("start", "--from", "local", "--to", "prod")


async def _put(hive: Hive, value: str) -> None:
    async with open_store(
        "local", config=read_config(hive.folder / "hive-state.toml"), janitor=False
    ) as store:
        await store.records.put("c", "k", value)


async def _delete(hive: Hive) -> None:
    """With all that is left of it."""
    async with open_store(
        "local", config=read_config(hive.folder / "hive-state.toml"), janitor=False
    ) as store:
        await store.records.delete("c", "k")
        await store._driver.sweep(100, Retention(tombstones=0))


async def _values(hive: Hive) -> list[object]:
    found: list[object] = []
    config = read_config(hive.folder / "hive-state.toml")
    for name in ("local", "prod"):
        async with open_store(name, config=config, janitor=False, follow=False) as store:
            record = await store.records.get("c", "k")
            found.append(record and record.value)
    return found


def a_pump_that_sleeps_until_the_next_migration(hive: Hive) -> None:
    """It holds an image of a record that nobody remembers by then."""
    hive.succeed(*START)
    asyncio.run(_put(hive, "of an earlier migration"))
    zombie = hive.popen("run", fail=("pump: images read", "stop"))
    hive.until_stopped(zombie)
    hive.succeed("cancel", "--from", "local", "--to", "prod")
    asyncio.run(_delete(hive))
    hive.succeed(*START)
    zombie.send_signal(signal.SIGCONT)
    hive.work(1.5)
    zombie.send_signal(signal.SIGINT)
    zombie.communicate(timeout=30)
    assert asyncio.run(_values(hive)) == [None, None]


def a_coordinator_that_sleeps_until_the_store_is_open_again(hive: Hive) -> None:
    """Others have given its switch up, and written since."""
    hive.begin("local")
    hive.succeed(*START, "--budget", "0.5")
    zombie = hive.popen("switch", fail=("switch: drained", "stop"))
    hive.until_stopped(zombie)
    hive.until_phase("verified")
    hive.work()
    zombie.send_signal(signal.SIGCONT)
    zombie.communicate(timeout=30)
    hive.work()
    hive.audit(hive.end())


def a_change_between_load_and_clear(hive: Hive) -> None:
    """Its mark is not that which is cleared."""
    hive.succeed(*START)
    asyncio.run(_put(hive, "before"))
    pump = hive.popen("run", fail=("pump: loaded", "stop"))
    hive.until_stopped(pump)
    asyncio.run(_put(hive, "meanwhile"))
    pump.send_signal(signal.SIGCONT)
    hive.work(1)
    pump.send_signal(signal.SIGKILL)
    pump.communicate(timeout=30)
    hive.require_equal()


def a_switch_under_load(hive: Hive) -> None:
    """Nothing that was acknowledged until the seal stays behind."""
    hive.begin("local", "local")
    hive.succeed(*START)
    switching = hive.popen("switch", fail=("switch: sealed", "stop"))
    hive.until_stopped(switching)
    switching.send_signal(signal.SIGCONT)
    switching.communicate(timeout=30)
    hive.work()
    hive.audit(hive.end())


DRILLS: dict[str, Callable[[Hive], None]] = {
    "expects_nothing": a_pump_that_sleeps_until_the_next_migration,
    "decides_blindly": a_coordinator_that_sleeps_until_the_store_is_open_again,
    "clears_by_key": a_change_between_load_and_clear,
    "drains_before_the_seal": a_switch_under_load,
}
SHORT = ["expects_nothing"]


@pytest.mark.parametrize("name", DRILLS if ALL else SHORT)
def test_the_drill_holds(tmp_path: Path, name: str) -> None:
    with Hive(tmp_path) as hive:
        DRILLS[name](hive)


@pytest.mark.parametrize("name", DRILLS if ALL else [])
def test_the_drill_finds_what_is_lacking(tmp_path: Path, name: str) -> None:
    with Hive(tmp_path) as hive:
        hive.weakened = name
        with pytest.raises(AssertionError):
            DRILLS[name](hive)
