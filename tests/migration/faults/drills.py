"""What each weakening of the protocol would do harm in, step by step. Nothing is left to luck: who has to be
late stops at a failpoint, and who has done its part dies at one, before a comparison could mend it.

A drill gives back the check that holds only if nothing is lost.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable

import asyncpg

from hive_state_core import open_store
from hive_state_core.config_file import read_config
from hive_state_core.spi import Retention

from .hive import Hive, until

Check = Callable[[], None]
Drill = Callable[[Hive], Check]

START = ("start", "--from", "local", "--to", "prod")


async def _put(hive: Hive, **values: str) -> None:
    async with _open(hive, "local") as store:
        for key, value in values.items():
            await store.records.put("c", key, value)


async def _delete(hive: Hive, key: str, *, whole: bool = False) -> None:
    """`whole`: with all that is left of it."""
    async with _open(hive, "local") as store:
        await store.records.delete("c", key)
        if whole:
            await store._driver.sweep(100, Retention(tombstones=0))


def _open(hive: Hive, name: str, *, follow: bool = True):  # type: ignore[no-untyped-def]
    config = read_config(hive.folder / "hive-state.toml")
    return open_store(name, config=config, janitor=False, follow=follow)


async def _values(hive: Hive, key: str) -> list[object]:
    """In the one store and in the other."""
    found: list[object] = []
    for name in ("local", "prod"):
        async with _open(hive, name, follow=False) as store:
            record = await store.records.get("c", key)
            found.append(record and record.value)
    return found


def require(hive: Hive, **values: str | None) -> None:
    """Both stores hold these."""
    hive.drain()
    for key, value in values.items():
        assert asyncio.run(_values(hive, key)) == [value, value], key


def ends(process: subprocess.Popen[str], code: int = 0) -> None:
    told = process.communicate(timeout=60)
    assert process.returncode == code, told


# --- who sleeps


def a_copier_that_sleeps_until_all_is_done(hive: Hive) -> Check:
    """It has read a page; its rows are changed and deleted, and that was sent, before it writes them."""
    asyncio.run(_put(hive, changed="first", deleted="first"))
    copier = hive.popen(*START, fail=("copy: page read", "stop", "copy: page loaded", "kill"))
    hive.until_stopped(copier)
    worker = hive.popen("run")
    hive.until_phase("copied")
    asyncio.run(_put(hive, changed="second"))
    asyncio.run(_delete(hive, "deleted"))
    hive.until_sent()
    worker.kill()
    for store in ("local", "prod"):
        ends(hive.hand("sweep", store))
    assert hive.wake(copier) == -signal.SIGKILL
    return lambda: require(hive, changed="second", deleted=None)


def a_pump_that_sleeps_until_the_next_migration(hive: Hive) -> Check:
    """It holds an image of a record that nobody remembers by then."""
    hive.succeed(*START)
    asyncio.run(_put(hive, k="of an earlier migration"))
    zombie = hive.popen("run", fail=("pump: images read", "stop", "pump: loaded", "kill"))
    hive.until_stopped(zombie)
    hive.succeed("cancel", "--from", "local", "--to", "prod")
    asyncio.run(_delete(hive, "k", whole=True))
    hive.succeed(*START)
    zombie.send_signal(signal.SIGCONT)
    asyncio.run(_put(hive, another="that it reads next, if it lives"))
    until(lambda: zombie.poll() is not None or hive.is_stopped(zombie), "it to die or go on")
    return lambda: require(hive, k=None)


def a_coordinator_that_sleeps_until_the_store_is_open_again(hive: Hive) -> Check:
    """Others have given its switch up, and written since."""
    hive.begin("local")
    hive.succeed(*START, "--budget", "0.5")
    zombie = hive.popen("switch", fail=("switch: drained", "stop"))
    hive.until_stopped(zombie)
    hive.until_phase("verified")
    hive.work()
    hive.wake(zombie)
    hive.work()
    return lambda: hive.audit(hive.end())


def a_writer_that_sleeps_through_the_switch(hive: Hive) -> Check:
    """It stops just before its transaction, and goes on once the hive lives elsewhere."""
    hive.succeed(*START)
    writer = hive.hand("put", "local", "k", "written late", fail=("commit: begun", "stop"))
    hive.until_stopped(writer)
    hive.succeed("switch", "--force")
    assert hive.wake(writer) == 0
    return lambda: require(hive, k="written late")


# --- who dies


def a_writer_that_dies_after_its_commit(hive: Hive) -> Check:
    """What it wrote before was sent; of its last write only the store knows."""
    hive.succeed(*START)
    ends(hive.hand("put", "local", "one", "sent"))
    ends(hive.hand("put", "local", "other", "left behind", fail=("commit: done", "kill")), -signal.SIGKILL)
    return lambda: require(hive, one="sent", other="left behind")


# --- what is written meanwhile


def a_change_between_load_and_clear(hive: Hive) -> Check:
    """Its mark is not that which is cleared."""
    hive.succeed(*START)
    asyncio.run(_put(hive, k="before"))
    pump = hive.popen("run", fail=("pump: loaded", "stop", "pump: cleared", "kill"))
    hive.until_stopped(pump)
    asyncio.run(_put(hive, k="meanwhile"))
    assert hive.wake(pump) == -signal.SIGKILL
    return lambda: require(hive, k="meanwhile")


def writes_just_before_the_seal(hive: Hive) -> Check:
    """All that was marked was sent by then."""
    hive.succeed(*START)
    switching = hive.popen("switch", fail=("switch: caught up", "stop"))
    hive.until_stopped(switching)
    asyncio.run(_put(hive, one="at the last moment", other="the same"))
    assert hive.wake(switching) == 0
    return lambda: require(hive, one="at the last moment", other="the same")


def a_write_just_before_capture(hive: Hive) -> Check:
    """It is not marked, so it has to be copied."""
    start = hive.popen(*START, fail=("prepare: job noted", "stop", "copy: done", "kill"))
    hive.until_stopped(start)
    asyncio.run(_put(hive, k="not marked"))
    assert hive.wake(start) == -signal.SIGKILL
    return lambda: require(hive, k="not marked")


def a_write_after_the_switch(hive: Hive) -> Check:
    """Of a record that was written often before: it comes back with the hive."""
    asyncio.run(_put(hive, k="before"))
    hive.succeed(*START)
    hive.succeed("switch")
    ends(hive.hand("put", "prod", "k", "after"))
    hive.succeed("rollback")
    return lambda: require(hive, k="after")


def a_writer_that_saw_no_sink(hive: Hive) -> Check:
    """Its transaction is open when the migration begins: it waits for a row that somebody else has locked. On
    PostgreSQL, where writers do not exclude one another."""
    asyncio.run(_put(hive, k="before"))
    return asyncio.run(_with_row_locked(hive))


async def _with_row_locked(hive: Hive) -> Check:
    config = read_config(hive.folder / "hive-state.toml")
    db = await asyncpg.connect(str(config.stores["local"]["url"]))
    try:
        async with db.transaction():
            await db.execute("SELECT 1 FROM hive_state.records WHERE key = 'k' FOR UPDATE")
            writer = hive.hand("put", "local", "k", "not marked")
            await _until_waiting(db, "transactionid")
            start = hive.popen(*START, fail=("copy: done", "kill"))
            await _until_waiting(db, "advisory", or_ended=start)
    finally:
        await db.close()
    ends(writer)
    ends(start, -signal.SIGKILL)
    return lambda: require(hive, k="not marked")


async def _until_waiting(
    db: asyncpg.Connection, lock: str, or_ended: subprocess.Popen[str] | None = None
) -> None:
    """Until somebody waits for a lock of this kind."""
    while or_ended is None or or_ended.poll() is None:
        if await db.fetchval("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = $1 LIMIT 1", lock):
            return
        await asyncio.sleep(0.05)


DRILLS: dict[str, Drill] = {
    "load_if_newer": a_copier_that_sleeps_until_all_is_done,
    "tombstones": a_copier_that_sleeps_until_all_is_done,
    "fence_in_write": a_writer_that_sleeps_through_the_switch,
    "marks": a_writer_that_dies_after_its_commit,
    "clear_by_version": a_change_between_load_and_clear,
    "seal_then_drain": writes_just_before_the_seal,
    "decide": a_coordinator_that_sleeps_until_the_store_is_open_again,
    "terms": a_write_after_the_switch,
    "control_in_store": a_writer_that_sleeps_through_the_switch,
    "exclusive_fence": a_writer_that_saw_no_sink,
    "start_under_fence": a_write_just_before_capture,
    "sweep_tombstones": a_copier_that_sleeps_until_all_is_done,
    "open_unsynced": writes_just_before_the_seal,
    "expects_nothing": a_pump_that_sleeps_until_the_next_migration,
}
"""By the weakening that each finds."""
