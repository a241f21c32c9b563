"""How much the work of a migration leaves to those who work."""

from __future__ import annotations

from pathlib import Path

from hive_state_core.migration.leasing import Lease
from hive_state_core.migration.pacing import FAR_MS, GATHER, HASTE, LONGEST, RESTS, Gathering, Rhythm
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker

from .sides import Sides


def test_rests_longer_than_it_works() -> None:
    """But not for ever."""
    rhythm = Rhythm()
    assert rhythm.due(0.25) == RESTS * 0.25
    assert rhythm.due(LONGEST) == LONGEST


def test_rests_less_while_it_falls_behind() -> None:
    """Each time it is told that it is more behind than before; once it is not, it comes back to its rests."""
    rhythm = Rhythm()
    worked = LONGEST / RESTS / 2
    for behind, divided in ((10, 2), (20, 4), (20, 2), (30, 4), (0, 2), (0, 1), (0, 1)):
        rhythm.hasten(behind)
        assert rhythm.due(worked) == RESTS * worked / divided
    for behind in range(20):
        rhythm.hasten(2 * FAR_MS - behind)
    assert rhythm.due(worked) == RESTS * worked / HASTE
    rhythm.hasten(FAR_MS)
    assert rhythm.due(worked) == RESTS * worked / HASTE * 2


def test_lets_changes_gather_once_all_were_sent() -> None:
    """For as long as there were many; a full page is followed by the next one."""
    gathering = Gathering(100)
    rests = [gathering.after(sent) for sent in (0, 1, 50, 100, 100, 30, 0)]
    assert rests == [0.0, GATHER / 100, GATHER / 2, 0.0, 0.0, GATHER, 0.0]


async def test_who_does_nothing_else_comes_first(tmp_path: Path) -> None:
    """A worker that is to work until something is so takes the place of the one that works beside a hive."""
    sides = Sides.files(tmp_path)
    await sides.reach(Phase.DUAL)
    async with sides.live() as live:
        beside = Lease(live.source)
        assert await beside.hold()
        worker = Worker(live)
        await worker.until(lambda seen: seen.phase is Phase.COPIED)
        assert not await Lease(live.source).hold()
        await worker.release()
        assert await Lease(live.source).hold()
