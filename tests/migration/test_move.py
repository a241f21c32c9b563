"""A hive at rest moves between any two stores, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.choosing import Choice
from hive_state_core.errors import Conflict, InvalidArgument, NotEmpty, NotPrimary, Sealed, StoreMoved
from hive_state_core.image_rows import KEYS
from hive_state_core.migration import copying, running, switching
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.opening import move, opened
from hive_state_core.migration.report import Report
from hive_state_core.migration.switching import hand_over
from hive_state_core.spi import Control, ControlState, Kind

from .conftest import populate

New = Callable[[str], Choice]
BACKENDS = ("memory", "sqlite")


async def go(source: Choice, target: Choice, *, batch: int = 10, copy_only: bool = False) -> Report:
    return await move(source, target, lambda *_: None, batch=batch, copy_only=copy_only)


async def exported(choice: Choice) -> bytes:
    async with open_store(choice, janitor=False) as hive:
        return b"".join([line async for line in export_lines(hive.replication())])


async def row(choice: Choice) -> Control:
    async with open_store(choice, janitor=False) as hive:
        return await hive.replication().control()


@pytest.mark.parametrize("one", BACKENDS)
@pytest.mark.parametrize("other", BACKENDS)
@pytest.mark.parametrize("kinds", [KEYS, {}], ids=["rows", "images"])
async def test_there_and_back(
    new_store: New, one: str, other: str, kinds: dict[Kind, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "KEYS", kinds)
    first, second, third = new_store(one), new_store(other), new_store(one)
    await populate(first)
    there = await go(first, second)
    assert there.clean
    assert there.copied == sum(kind.verified for kind in there.kinds.values()) > 50
    assert there.kinds["task"].reread == there.kinds["task"].copied
    assert await exported(first) == await exported(second)
    assert (await go(second, third)).clean
    assert await exported(first) == await exported(third)
    rows = [await row(choice) for choice in (first, second, third)]
    assert [each.state for each in rows] == [ControlState.MOVED, ControlState.MOVED, ControlState.OPEN]
    assert rows[0].term < rows[1].term == rows[2].term
    await populate(third)


async def test_the_source_says_where_the_hive_is(new_store: New) -> None:
    source, target = new_store("sqlite"), new_store("sqlite")
    await populate(source, 1)
    await go(source, target)
    async with open_store(source) as hive:
        with pytest.raises(StoreMoved, match=r"HIVE_STATE_URL=sqlite:///.*\.db"):
            await hive.records.put("c", "k", 1)
        assert await hive.records.get("c", "same") is not None
    with pytest.raises(StoreMoved):
        await go(source, new_store("sqlite"))
    with pytest.raises(NotEmpty, match="left behind when it moved"):
        await go(target, source)


async def test_a_copy_leaves_the_hive_where_it_is(new_store: New) -> None:
    source, target = new_store("sqlite"), new_store("memory")
    await populate(source)
    assert (await go(source, target, copy_only=True)).clean
    assert await exported(source) == await exported(target)
    async with open_store(target) as copy:
        with pytest.raises(NotPrimary):
            await copy.records.put("c", "k", 1)
    await populate(source, 1)
    assert (await go(source, target)).clean  # the old copy is dropped, and made anew
    assert await exported(source) == await exported(target)


async def test_a_target_with_other_data_is_refused(new_store: New) -> None:
    source, target = new_store("sqlite"), new_store("sqlite")
    await populate(source, 1)
    await populate(target, 1)
    before = await exported(target)
    with pytest.raises(Conflict, match="holds other data"):
        await go(source, target)
    assert await exported(target) == before
    await populate(source, 1)  # it is not sealed
    with pytest.raises(InvalidArgument, match="the same store"):
        await go(source, source)


async def test_two_targets_do_not_share_a_source(new_store: New) -> None:
    source, target = new_store("memory"), new_store("memory")
    await populate(source, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "copy", _dies)
        with pytest.raises(Dead):
            await go(source, target)
    with pytest.raises(Sealed, match="migrate cancel"):
        await go(source, new_store("memory"))
    async with opened(source, target, lambda *_: None) as ready:
        assert await ready.cancel() is True
        assert await ready.cancel() is False
    await populate(source, 1)
    assert (await go(source, target)).clean


async def test_who_is_cancelled_while_handing_over_has_handed_over(new_store: New) -> None:
    source, target = new_store("sqlite"), new_store("sqlite")
    await populate(source, 1)
    begun = asyncio.Event()

    async def slow(*arguments: Any) -> None:
        begun.set()
        await asyncio.sleep(0.1)
        await hand_over(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switching, "hand_over", slow)
        moving = asyncio.create_task(go(source, target))
        await begun.wait()
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
    assert (await row(source)).state is ControlState.MOVED
    assert (await row(target)).state is ControlState.OPEN


class Dead(Exception):
    """The process that moved the hive."""


async def _dies(*_: object, **__: object) -> None:
    raise Dead


def test_the_rate_is_of_this_run() -> None:
    """What a run before it copied was not copied in the seconds of this one."""
    report = Report()
    report.kinds["record"].copied, report.seconds["copy"] = 30, 2.0
    assert report.rows_per_s == 15
    report.before = 30
    assert report.rows_per_s == 0
