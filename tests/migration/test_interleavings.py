"""Orders of events that are rare, made by failpoints and by ports that fail: the stores end up equal."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.errors import HiveStateError, Indeterminate, Internal, InvalidArgument, Unavailable
from hive_state_core.limits import VALUE_BYTES
from hive_state_core.migration import crossing, failpoints
from hive_state_core.migration.checking import Check
from hive_state_core.migration.crossing import cross
from hive_state_core.migration.judging import against_switch, verify, waive
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.pumping import Pump
from hive_state_core.migration.working import Worker, silent
from hive_state_core.model import Image, RecordImage, RecordRef
from hive_state_core.spi import PEER

from .sides import Sides

STRIDE = 1 if os.environ.get("HIVE_STATE_FAULTS") == "all" else 4
"""Calls from one cancellation to the next."""

Change = Callable[[Store], Awaitable[object]]

CHANGES: dict[str, Change] = {
    "an update": lambda hive: hive.records.put("c", "k", 2),
    "a delete": lambda hive: hive.records.delete("c", "k"),
}


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides.files(tmp_path)


class At:
    """Does something at a failpoint, as often as is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.times = 0

    def every(self, name: str, do: Callable[[], Awaitable[object]], most: int = 1) -> None:
        async def hook(reached: str) -> None:
            if reached == name and self.times < most:
                self.times += 1
                await do()

        self._patch.setattr(failpoints, "hook", hook)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    return At(monkeypatch)


@pytest.fixture
async def hive(sides: Sides) -> AsyncIterator[Store]:
    async with sides.open("local") as hive:
        await hive.records.put("c", "k", 0)
        yield hive


async def pump_of(live: Live) -> Pump:
    return Pump(live.source, live.target, (await live.look()).target)


async def equal(sides: Sides) -> bool:
    await sides.drained()
    ours, theirs = await sides.exports()
    return ours == theirs


@pytest.mark.parametrize("change", CHANGES)
async def test_the_later_image_arrives_first(sides: Sides, hive: Store, at: At, change: str) -> None:
    """One pump has read the older one, and sends it after another has sent the newer one."""
    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        slow, quick = await pump_of(live), await pump_of(live)

        async def overtake() -> None:
            await CHANGES[change](hive)
            assert await quick.round()

        await hive.records.put("c", "k", 1)
        at.every("pump: images read", overtake)
        assert await slow.round()
        assert at.times == 1
        assert not await live.source.marks(PEER, 1)
    assert await equal(sides)


@pytest.mark.parametrize("end", ["trim", "drop"])
async def test_events_that_another_pump_takes_away_are_not_missed(
    sides: Sides, hive: Store, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """They were loaded by one that had read them before; it reads back what the other has trimmed."""
    await sides.reach(Phase.COPIED)
    for n in range(3):
        await hive.events.publish("audit", n)
    async with sides.live() as live:
        slow, quick = await pump_of(live), await pump_of(live)
        read_back = slow._read_back_events

        async def overtaken(*what: Any) -> None:
            await (hive.events.trim("audit", first=3) if end == "trim" else hive.events.drop("audit"))
            assert await quick.round()
            await read_back(*what)

        monkeypatch.setattr(slow, "_read_back_events", overtaken)
        await slow.round()
        assert (slow.wrong, quick.wrong) == ({}, {})
    assert await equal(sides)


async def test_events_that_are_trimmed_while_they_are_compared_are_no_ghosts(
    sides: Sides, hive: Store
) -> None:
    """Their streams were equal a moment ago; that they are trimmed was not sent yet."""
    await sides.reach(Phase.COPIED)
    for n in range(3):
        await hive.events.publish("audit", n)
    async with sides.live() as live:
        assert await (await pump_of(live)).round()
        await hive.events.trim("audit", first=3)
        check = Check(live, await live.look(), lambda *_: None)
        await check._settle("event", {("audit", seq) for seq in (1, 2, 3)})
        assert check.checked.found == {}
    assert await equal(sides)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_between_load_and_clear_stays_marked(
    sides: Sides, hive: Store, at: At, change: str
) -> None:
    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        await hive.records.put("c", "k", 1)
        at.every("pump: loaded", lambda: CHANGES[change](hive))
        await (await pump_of(live)).round()
        assert len(await live.source.marks(PEER, 10)) == 1
    assert await equal(sides)


async def test_a_page_that_was_read_before_it_changed(sides: Sides, hive: Store, at: At) -> None:
    """The copy has read on when the rows of the next page are changed and deleted."""
    keys = [f"{n:03}" for n in range(60)]
    await hive.records.put_many("c", dict.fromkeys(keys, 0))
    await sides.reach(Phase.DUAL)

    async def change() -> None:
        await asyncio.sleep(0.1)  # the next page was read
        await hive.records.put_many("c", dict.fromkeys(keys[10:30], 1))
        for key in keys[15:25]:
            await hive.records.delete("c", key)

    at.every("copy: page loaded", change)
    async with sides.live() as live:
        await live.change(chunk=10)
        await Worker(live).until(lambda seen: seen.phase is not Phase.DUAL)
    assert at.times == 1
    assert await equal(sides)


async def test_the_copy_ends_although_more_is_written(sides: Sides, hive: Store, at: At) -> None:
    """More than it copies, and always behind its cursor."""
    await hive.records.put_many("c", {f"{n:03}": n for n in range(50)})
    await sides.reach(Phase.DUAL)

    async def more() -> None:
        await hive.records.put_many("z", {f"{at.times}/{n}": n for n in range(20)})

    at.every("copy: page loaded", more, most=100)
    async with sides.live() as live:
        await live.change(chunk=10)
        await Worker(live).until(lambda seen: seen.phase is not Phase.DUAL)
    assert 5 <= at.times < 20
    assert await equal(sides)


async def test_the_largest_value(sides: Sides, hive: Store) -> None:
    """By the copy, and by the pump."""
    ref = RecordRef("c", "large")
    await hive.records.put("c", "large", b"x" * VALUE_BYTES)
    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        assert await live.source.images([ref]) == await live.target.images([ref])
        await hive.records.put("c", "large", b"y" * VALUE_BYTES)
        assert await (await pump_of(live)).round() == 1
        assert await live.source.images([ref]) == await live.target.images([ref])
        assert not await live.source.marks(PEER, 1)


async def test_a_transaction_that_is_open_at_the_seal(
    sides: Sides, hive: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a program that knows nothing of us: the seal waits for its end, and what it wrote goes along."""
    await sides.reach(Phase.VERIFIED)
    with closing(sqlite3.connect(tmp_path / "local.db", isolation_level=None)) as db:

        async def begin(*_: object) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE records SET version = version + 1, value = x'37' WHERE collection = 'c'")
            asyncio.get_running_loop().call_later(0.5, db.execute, "COMMIT")

        monkeypatch.setattr(crossing, "_catch_up", begin)
        async with sides.live() as live:
            crossed = await cross(live)
    assert crossed.steps["seal"] > 400
    assert crossed.drained == 1
    found = await hive.records.get("c", "k")
    assert found is not None
    assert found.value == 7
    assert await equal(sides)


# --- whoever switches is cancelled


class Cancelling:
    """A port; at the n-th call of all of them the task is cancelled."""

    def __init__(self, port: Any, calls: list[int], task: Callable[[], asyncio.Task[Any]]) -> None:
        self._port = port
        self._calls = calls
        self._task = task

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self._calls[0] -= 1
            if self._calls[0] == 0:
                self._task().cancel()
            return await verb(*arguments, **named)

        return call


async def cancelled_at(sides: Sides, step: int) -> bool:
    """False: it ended before that many calls."""
    async with sides.live() as live:
        calls, tasks = [step], list[asyncio.Task[Any]]()
        for side in ("source", "target"):
            setattr(live, side, Cancelling(getattr(live, side), calls, lambda: tasks[0]))
        tasks.append(asyncio.create_task(cross(live)))
        await asyncio.wait(tasks)
        if calls[0] <= 0:
            assert tasks[0].cancelled() or not tasks[0].exception()
        return calls[0] <= 0


async def test_a_switch_that_is_cancelled_at_every_step(sides: Sides, hive: Store) -> None:
    """It is as if it had not begun, or it is gone through with."""
    await sides.reach(Phase.VERIFIED)
    crossed = given_up = step = 0
    while await cancelled_at(sides, step := step + STRIDE):
        assert step < 60
        await hive.records.put("c", "k", step)
        async with sides.live() as live:
            phase = (await live.look()).phase
            assert phase in (Phase.VERIFIED, Phase.REVERSE)
            if phase is Phase.REVERSE:
                crossed += 1
                await live.distrust()
                await cross(live, back=True)
                assert (await verify(live, silent)).clean
            else:
                given_up += 1
    assert crossed
    assert given_up
    await hive.records.put("c", "k", "last")
    assert await equal(sides)


# --- the other store is slow, or refuses


class Bad:
    """A port whose load is as is said."""

    def __init__(self, port: Any, load: Callable[[Sequence[Image]], Awaitable[None]]) -> None:
        self._port = port
        self._load = load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def load(self, images: Sequence[Image], *rest: Any, **named: Any) -> int:
        await self._load(images)
        loaded: int = await self._port.load(images, *rest, **named)
        return loaded


async def test_a_slow_store_keeps_nobody_waiting(sides: Sides, hive: Store) -> None:
    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        live.target = Bad(live.target, lambda _: asyncio.sleep(0.5))  # type: ignore[assignment]
        worker = asyncio.create_task(Worker(live).run())
        for n in range(50):
            await hive.records.put("c", f"{n}", n)
        assert await live.source.marks(PEER, 1)
        worker.cancel()
        await asyncio.wait({worker})
    assert await equal(sides)


async def test_one_key_that_is_refused_keeps_back_itself_alone(sides: Sides, hive: Store) -> None:
    async def refuse(images: Sequence[Image]) -> None:
        if any(isinstance(image, RecordImage) and image.ref.key == "bad" for image in images):
            raise Internal("it is refused")

    await sides.reach(Phase.VERIFIED)
    await hive.records.put_many("c", {"good": 1, "bad": 1, "better": 1})
    async with sides.live() as live:
        target, live.target = live.target, Bad(live.target, refuse)  # type: ignore[assignment]
        worker = Worker(live)
        await worker.turn()
        await worker.release()
        assert [mark.ref.key for mark in await live.source.marks(PEER, 10)] == ["bad"]  # type: ignore[union-attr]
        assert "not as they should be: 1 entities" in (await against_switch(live, await live.look()))[0]
        live.target = target
        assert (await verify(live, silent)).clean
    assert await equal(sides)


async def test_poison_is_waived_by_its_name(sides: Sides, hive: Store) -> None:
    async def refuse(images: Sequence[Image]) -> None:
        if any(isinstance(image, RecordImage) and image.ref.key == "bad" for image in images):
            raise Internal("it is refused")

    await sides.reach(Phase.VERIFIED)
    await hive.records.put("c", "bad", 1)
    async with sides.live() as live:
        live.target = Bad(live.target, refuse)  # type: ignore[assignment]
        assert (await verify(live, silent)).wrong == {"record c / bad": "poison"}
        worker = Worker(live)
        await worker.turn()
        await worker.release()
        with pytest.raises(InvalidArgument, match="that is: record c / bad"):
            await waive(live, ["record c / k"])
        await waive(live, ["record c / bad"])
        assert (await verify(live, silent)).clean
        await live.reach(Phase.VERIFIED)
        await cross(live)
    assert await hive.records.get("c", "bad") is None
    assert await hive.records.get("c", "k") is not None


@pytest.mark.parametrize("error", [Unavailable, Indeterminate])
async def test_a_store_that_refuses_now_and_then(
    sides: Sides, hive: Store, error: type[HiveStateError]
) -> None:
    """Or does not say what became of a load."""
    loads = 0

    async def refuse(_: Sequence[Image]) -> None:
        nonlocal loads
        loads += 1
        if loads % 5 == 1:
            raise error("a deadlock")

    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        target, live.target = live.target, Bad(live.target, refuse)  # type: ignore[assignment]
        worker = asyncio.create_task(Worker(live).run())
        for n in range(30):
            await hive.records.put("c", f"{n}", n)
        while await live.source.marks(PEER, 1):
            await asyncio.sleep(0.05)
        worker.cancel()
        await asyncio.wait({worker})
        live.target = target
    assert loads > 1
    assert await equal(sides)
