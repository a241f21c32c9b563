"""What a migration does by itself when something is wrong, and what it would have done."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_state_core.migration import guarding
from hive_state_core.migration.crossing import NotDrained, cross
from hive_state_core.migration.findings import change_findings, read_findings
from hive_state_core.migration.guarding import Guard, slower
from hive_state_core.migration.phases import Job, Phase, read_job
from hive_state_core.migration.presence import Process
from hive_state_core.migration.tempo import SAMPLES, Tempo
from hive_state_core.migration.triggers import (
    TRIGGERS,
    Fired,
    Reading,
    Severity,
    Trigger,
    Watch,
    add_fired,
    read_fired,
)
from hive_state_core.migration.working import Worker
from hive_state_core.spi import ControlState

from .sides import Sides

SLOW = Trigger(name="slow", about="it", most=1, window=10, samples=5, rest=60, severity=Severity.THROTTLE)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides.files(tmp_path)


def fired(watch: Watch, now: float, value: float, samples: int = 5) -> bool:
    return bool(list(watch.judge({"slow": Reading(value, samples)}, now)))


def test_it_fires_once_it_lasts_and_then_rests() -> None:
    watch = Watch((SLOW,))
    assert [fired(watch, now, 2) for now in (0, 9, 10, 11, 69, 70)] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_spike_is_not_enough() -> None:
    watch = Watch((SLOW,))
    assert not any([fired(watch, 0, 9), fired(watch, 9, 1), fired(watch, 12, 9), fired(watch, 21, 9)])


def test_few_samples_and_none_say_nothing() -> None:
    watch = Watch((SLOW,))
    assert not any([fired(watch, 0, 9), fired(watch, 9, 9, samples=4), fired(watch, 12, 9)])
    assert list(watch.judge({}, 13)) == []
    assert not fired(watch, 30, 9)


def test_every_trigger_is_read(sides: Sides) -> None:
    names = {trigger.name for trigger in TRIGGERS}
    assert len(names) == len(TRIGGERS)
    source = Path(guarding.__file__).read_text()
    assert all(f'"{name}"' in source for name in names)


def test_tempo() -> None:
    tempo = Tempo()
    for moving, seconds in ((False, 0.010), (True, 0.020)):
        for _ in range(SAMPLES):
            tempo.took(seconds)
        tempo.turn(moving=moving)
    tempo.took(9)
    tempo.turn(moving=True)  # too few
    assert (tempo.usual_ms, tempo.now_ms, tempo.trips) == (pytest.approx(10), pytest.approx(20), SAMPLES)
    about = {"pid": 1, "host": "h", "store": "s", "knows": (), "epoch": 1, "at": 1}
    one = Process(id="1", **about, usual_ms=10, now_ms=20, trips=30)  # type: ignore[arg-type]
    new = Process(id="2", **about, usual_ms=None, now_ms=90, trips=30)  # type: ignore[arg-type]
    assert slower([one, new]) == (2.0, 30)
    assert slower([new]) == (0.0, 0)


async def act(sides: Sides, severity: Severity, mode: str = "act") -> tuple[Job, list[Fired], Phase]:
    """Let a trigger of this severity fire; the job, what was remembered, the phase."""
    trigger = Trigger(name="t", about="it", most=1, window=0, rest=1, severity=severity)
    async with sides.live() as live:
        await live.change(triggers=mode)
        seen = await live.look()
        guard = Guard(live)
        guard._watch = Watch((trigger,))
        assert seen.job is not None
        await guard._judge(seen.job, seen, {"t": Reading(2)})
        job = await read_job(live.source)
        assert job is not None
        return job, await read_fired(live.source), (await live.look()).phase


async def test_what_each_severity_does(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    assert (await act(sides, Severity.THROTTLE))[0].throttle == 0.05
    assert (await act(sides, Severity.THROTTLE))[0].throttle == 0.1
    job = (await act(sides, Severity.PAUSE))[0]
    assert (job.paused, job.paused_by) == (True, "t")
    assert (await act(sides, Severity.BACK))[2] is Phase.COPIED
    _, found, phase = await act(sides, Severity.SWITCH_BACK)
    assert (phase, found[-1].done) == (Phase.COPIED, False)


async def test_the_hive_comes_back(sides: Sides) -> None:
    async with sides.open("local") as hive:
        await sides.reach(Phase.VERIFIED)
        async with sides.live() as live:
            await cross(live)
        await hive.records.put("c", "k", "there")
        _, (found,), phase = await act(sides, Severity.SWITCH_BACK)
        assert (phase, found.done, found.value) == (Phase.COPIED, True, 2)
        await hive.records.put("c", "k", "back")
        ours, _ = await sides.exports()
        assert b'"back"' in ours


async def test_what_it_would_have_done(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    for severity in Severity:
        job, found, phase = await act(sides, severity, "watch")
        assert (found[-1].severity, found[-1].done) == (severity, False)
    assert (job.paused, job.throttle, phase) == (False, 0, Phase.VERIFIED)


async def test_it_goes_back_twice_at_most(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        for _ in range(guarding.MOVES):
            done = Fired(at=1, trigger="t", value=1, most=0, severity=Severity.BACK, done=True)
            await add_fired(live.source, done)
    _, found, phase = await act(sides, Severity.BACK)
    assert (found[-1].done, phase) == (False, Phase.VERIFIED)


async def test_what_is_found_wrong_takes_the_hive_back(sides: Sides) -> None:
    """All of it, from the finding to the switch back."""
    async with sides.open("local") as hive:
        await sides.reach(Phase.VERIFIED)
        async with sides.live() as live:
            await cross(live)
            await change_findings(live.source, lambda old: type(old)(wrong={"record c / k": "corrupt"}))
            await Guard(live).look(await live.look())
            (found,) = await read_fired(live.source)
            assert (found.trigger, found.done) == ("validation", True)
            assert (await live.look()).source.state is ControlState.OPEN
        await hive.records.put("c", "k", 1)


async def test_switches_that_are_given_up(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    from hive_state_core.migration import crossing

    async def never(_: object) -> int:
        raise NotDrained("never")

    await sides.reach(Phase.VERIFIED)
    monkeypatch.setattr(crossing, "_drain", never)
    async with sides.live() as live:
        for _ in range(3):
            with pytest.raises(NotDrained):
                await cross(live)
        assert (await read_findings(live.source)).given_up == 3
        await Guard(live).look(await live.look())
        assert [each.trigger for each in await read_fired(live.source)] == ["seal budget"]
        assert (await live.look()).phase is Phase.COPIED


async def test_who_does_not_work_has_reached_the_stores_too(sides: Sides) -> None:
    """One call that fails is no half minute, however long others have done the work."""
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        other, worker = Worker(live), Worker(live)
        assert await other.turn()
        worker._guard._reached -= 600
        assert not await worker.turn()
        await worker._guard.troubled()
        assert await read_fired(live.source) == []
        await other.release()


async def test_a_store_that_cannot_be_reached(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        guard = Guard(live)
        guard._reached -= 31
        await guard.troubled()
        job = await read_job(live.source)
        assert job is not None
        assert job.paused
        assert [each.trigger for each in await read_fired(live.source)] == ["infrastructure"]
