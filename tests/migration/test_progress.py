"""How far a copy or a comparison is, and for how long it takes still."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hive_state_core.migration import progress, working
from hive_state_core.migration.judging import verify
from hive_state_core.migration.phases import Job, Phase
from hive_state_core.migration.presence import GONE_MS, instant
from hive_state_core.migration.progress import PROGRESS, RECENT, Progress, Recorder, read_progress
from hive_state_core.migration.working import Worker, silent

from .conftest import populate
from .sides import Sides


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides.files(tmp_path)


def told(rows: int, rate: float) -> Progress:
    return Progress(doing="copying", rows=rows, rate=rate, at=1000)


def test_what_is_left() -> None:
    """What passed since it was told counts, but it is never less than nothing."""
    assert told(400, 100).left_s(1000, 1000) == 6
    assert told(400, 100).left_s(1000, 3000) == 4
    assert told(400, 100).left_s(1000, 9000) == 0


def test_what_is_not_known() -> None:
    """Nothing goes on, or there is more than was counted."""
    assert told(400, 0).left_s(1000, 1000) is None
    assert told(1000, 100).left_s(1000, 1000) is None


async def test_the_rate_is_that_of_the_last_minute(sides: Sides) -> None:
    """What was done before it began does not count."""
    await sides.reach(Phase.PREPARED)
    async with sides.live() as live:
        recorder = Recorder(live.drivers[1], live.target, "copying", {"record": 1000})
        (began, _) = recorder._points[0]
        for seconds, rows, rate in ((10, 1100, 10), (20, 1400, 20), (RECENT + 10, 1400, 5)):
            recorder.count("record", rows)
            assert recorder.rate(began + seconds) == pytest.approx(rate)
        recorder.count("record", 1500)
        assert recorder.rate(began + 3 * RECENT) == pytest.approx(100 / (2 * RECENT - 10))
        await recorder.tell()  # too early
        assert PROGRESS not in await live.target.notes()


async def test_who_copies_and_compares_says_so(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(working, "LOOK", 0.0)
    await populate(sides.source)
    await sides.reach(Phase.DUAL)
    async with sides.live() as live:
        seen = []

        async def note(changes: dict[str, bytes | None], *more: object, **others: object) -> bool:
            done: bool = await keep(changes, *more, **others)
            if PROGRESS in changes:
                seen.append(await read_progress(live.target, await instant(live.drivers[1])))
            return done

        keep = live.target.note
        monkeypatch.setattr(live.target, "note", note)
        await live.change(chunk=5)
        await Worker(live).until(lambda seen: seen.phase is Phase.COPIED)
        assert {each.doing for each in seen if each} == {"copying"}
        rows = [each.rows for each in seen if each]
        assert rows == sorted(rows)
        assert rows[-1] > rows[0]
        seen.clear()
        checked = await verify(live, silent)
        *each, last = seen
        assert [each.doing for each in each if each] == ["comparing"] * len(each)
        assert each[-1] is not None
        assert each[-1].rows == sum(checked.compared.values()) + checked.reread
        assert last is None


async def test_who_was_not_heard_of_for_a_while_is_gone(sides: Sides) -> None:
    await sides.reach(Phase.PREPARED)
    async with sides.live() as live:
        assert await read_progress(live.target, 0) is None
        found = told(1, 1)
        await live.target.note({PROGRESS: msgspec.json.encode(found)})
        assert await read_progress(live.target, found.at + GONE_MS) == found
        assert await read_progress(live.target, found.at + GONE_MS + 1) is None


async def test_who_waits_for_a_pause_to_end_is_told(sides: Sides) -> None:
    await sides.reach(Phase.DUAL)
    pauses: list[Job] = []
    async with sides.live() as live:
        await live.pause((await live.require_job())[0], "slow writes")
        await Worker(live).until(lambda _: bool(pauses), pauses.append)
    assert [job.paused_by for job in pauses] == ["slow writes"]
