"""House-keeping in the background, and how long things are kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store, janitor, open_store, spi
from hive_state_core.errors import InvalidArgument, Unavailable
from hive_state_core.janitor import TURN, Janitor, outlived
from hive_state_core.retention import Retention, retention, retention_of


@pytest.fixture(params=["memory", "sqlite"])
async def hive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/hive.db"
    async with open_store(url, janitor=False) as store:
        yield store


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():
        await asyncio.sleep(0.01)


async def first_seq(hive: Store, stream: str) -> int:
    (event,) = await hive.events.read(stream, limit=1)
    return event.seq


async def ended_tasks(hive: Store, count: int) -> None:
    await hive.tasks.enqueue_many("q", range(count))
    for lease in await hive.tasks.claim("q", worker="w", limit=count):
        await hive.tasks.complete(lease)


async def test_a_janitor_keeps_the_house(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor, "LIMIT", 7)  # many steps a round
    await ended_tasks(hive, 30)
    await hive.tasks.enqueue("q", 1, id="live")
    await hive.events.publish_many("s", range(10))
    for n in range(5):
        await hive.checkpoints.save("nightly", n)
        await hive.checkpoints.snapshot(n)
    kept = retention(completed=0.001, events_count=3, checkpoints=2, snapshots=1)
    keeper = Janitor(hive._trips, kept, every=0.02)
    keeper.start()

    async def clean() -> bool:
        return await hive.tasks.count() == 1 and await first_seq(hive, "s") == 8

    await until(clean)
    await until(lambda: _snapshots_left(hive, 1))
    await keeper.stop()
    assert [point.seq async for point in hive.checkpoints.list("nightly")] == [4, 5]
    assert await hive.tasks.get("live") is not None


async def _snapshots_left(hive: Store, count: int) -> bool:
    return len([point async for point in hive.checkpoints.snapshots()]) == count


async def test_events_go_by_age_and_unfinished_ones_stay(hive: Store) -> None:
    for stream in ("old", "read slowly"):
        await hive.events.publish_many(stream, range(20))
    await hive.events.create_group("read slowly", "g", start="beginning")
    await asyncio.sleep(0.03)
    young = await hive.events.publish("old", "young")
    keeper = Janitor(hive._trips, retention(events=0.02), every=0.02)
    keeper.start()
    await until(lambda: _at_least(hive, "old", young))
    await keeper.stop()
    assert await first_seq(hive, "read slowly") == 1


async def _at_least(hive: Store, stream: str, seq: int) -> bool:
    events = await hive.events.read(stream, limit=1)
    return not events or events[0].seq >= seq


@pytest.mark.parametrize("old", [0, 1, 7, 20])
async def test_the_first_event_that_is_young_enough_is_found(hive: Store, old: int) -> None:
    for n in range(old):
        await hive.events.publish("s", n)
    await asyncio.sleep(0.005)
    for n in range(20 - old):
        await hive.events.publish("s", n)
    events = await hive.events.read("s", limit=20)
    at = round(events[old].at.timestamp() * 1000) if old < 20 else round(events[-1].at.timestamp() * 1000) + 1
    (page,) = (await hive._trips.scan(spi.Scan(kind="stream"))).items
    assert await janitor.first_since(hive._trips, page, 1, at) == old + 1  # type: ignore[arg-type]


async def test_nothing_is_outlived_by_default(hive: Store) -> None:
    await hive.events.publish_many("s", range(10))
    assert [each async for each in outlived(hive._trips, Retention())] == []


async def test_janitors_take_turns(hive: Store) -> None:
    rounds = 0
    sweep = hive._trips.sweep

    async def counted(limit: int, kept: spi.Retention) -> spi.Swept:
        nonlocal rounds
        rounds += 1
        return await sweep(limit, kept)

    hive._trips.sweep = counted  # type: ignore[method-assign]
    keepers = [Janitor(hive._trips, Retention(), every=60) for _ in range(5)]
    await asyncio.gather(*[keeper._run() for keeper in keepers])
    assert rounds == 1
    (turn,) = await hive._trips.read((TURN,))
    assert turn is not None
    for keeper in keepers:
        await keeper.stop()


@pytest.mark.parametrize("error", [Unavailable("busy"), RuntimeError("a defect")])
async def test_a_janitor_survives_trouble(
    hive: Store, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "hive_state")
    sweep, troubles = hive._trips.sweep, 0

    async def troubled(limit: int, kept: spi.Retention) -> spi.Swept:
        nonlocal troubles
        troubles += 1
        if troubles <= 3:
            raise error
        return await sweep(limit, kept)

    hive._trips.sweep = troubled  # type: ignore[method-assign]
    await ended_tasks(hive, 3)
    keeper = Janitor(hive._trips, retention(completed=0.001), every=0.02)
    keeper.start()

    async def clean() -> bool:
        return not await hive.tasks.count()

    await until(clean)
    await keeper.stop()
    told = "no house-keeping for now: busy" if isinstance(error, Unavailable) else "a defect"
    assert told in caplog.text
    if isinstance(error, Unavailable):
        assert caplog.text.count(told) == 1


async def test_an_open_store_keeps_house_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Janitor.__init__, "__defaults__", (0.02,))
    async with open_store("memory://", retention=retention(completed=0.001)) as hive:
        await ended_tasks(hive, 3)

        async def clean() -> bool:
            return not await hive.tasks.count()

        await until(clean)
        keeper: Any = hive._janitor
    assert keeper._round is None
    assert keeper._timer.cancelled()
    async with open_store("memory://", janitor=False) as hive:
        assert hive._janitor is None


def test_retention_is_told_in_seconds() -> None:
    told = retention(completed=2, events=0.5, checkpoints=10)
    assert (told.completed, told.events, told.checkpoints, told.dead) == (2000, 500, 10, None)
    assert retention_of(spi.Retention(dead=5)) == Retention(dead=5)
    assert retention_of(told) is told
    for wrong in ({"completed": 0}, {"events": -1}, {"checkpoints": 0}, {"snapshots": 1.5}):
        with pytest.raises(InvalidArgument):
            retention(**wrong)  # type: ignore[arg-type]
