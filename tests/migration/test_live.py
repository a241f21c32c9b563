"""A hive moves while it works, and back, and nothing is lost, doubled or refused."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.choosing import choose
from hive_state_core.errors import Conflict, NotEmpty, NotPrimary, StoreMoved
from hive_state_core.following import Following
from hive_state_core.migration import crossing, live, opening, sealing
from hive_state_core.migration.crossing import NotDrained, cross
from hive_state_core.migration.judging import against_start, against_switch, oldest_mark_ms, verify
from hive_state_core.migration.leasing import Lease
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.presence import PREFIX, Process
from hive_state_core.migration.pumping import Pump
from hive_state_core.migration.running import StaleCopy
from hive_state_core.migration.working import Worker, silent
from hive_state_core.model import RecordRef, TaskState
from hive_state_core.spi import PEER, Control, ControlState, Replication, Span

from .conftest import populate
from .sides import Sides


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides.files(tmp_path)


class Work:
    """What some agents did, as they were told."""

    def __init__(self) -> None:
        self.stopped = False
        self.numbers: dict[str, int] = {}
        self.enqueued: list[str] = []
        self.published = 0

    async def agent(self, hive: Store, name: str) -> None:
        number = 0
        while not self.stopped:
            number += 1
            await hive.records.put("agents", name, number)
            self.numbers[name] = number
            task = await hive.tasks.enqueue("work", number, max_attempts=100)
            self.enqueued.append(task.id)
            for lease in await hive.tasks.claim("work", worker=name, lease=5):
                async with hive.atomic() as unit:
                    unit.tasks.complete(lease)
                    unit.records.put("effects", f"{lease.id}/{lease.token}", name, if_absent=True)
            await hive.events.publish("audit", number)
            self.published += 1

    async def audit(self, hive: Store) -> None:
        for name, number in self.numbers.items():
            record = await hive.records.get("agents", name)
            assert record is not None
            assert record.value == number
        states = {task.id: task.state async for task in hive.tasks.list()}
        assert set(self.enqueued) <= states.keys()
        done = [id for id, state in states.items() if state is TaskState.COMPLETED]
        effects = [record.key.split("/")[0] async for record in hive.records.list("effects")]
        assert len(set(effects)) == len(effects)
        assert set(effects) <= set(done)
        page = await hive.events.read("audit", limit=1, reverse=True)
        assert page[0].seq == self.published


@asynccontextmanager
async def at_work(*hives: Store) -> AsyncIterator[Work]:
    """Agents in each of these. At the end they stop; any that failed fails the test."""
    work = Work()
    async with asyncio.TaskGroup() as group:
        for number, hive in enumerate(hives):
            for n in range(3):
                group.create_task(work.agent(hive, f"{number}-{n}"))
        try:
            await asyncio.sleep(0.1)
            yield work
            await asyncio.sleep(0.1)
        finally:
            work.stopped = True


async def test_there_and_back_under_load(sides: Sides) -> None:
    await populate(sides.source, 5)
    async with sides.open("moving") as one, sides.open("local") as other:
        async with at_work(one, other) as work:
            await sides.reach(Phase.VERIFIED)
            async with sides.live() as live:
                await cross(live)
                assert (await live.look()).phase is Phase.REVERSE
                await asyncio.sleep(0.2)
                await live.distrust()
                await cross(live, back=True)
                assert (await live.look()).phase is Phase.COPIED
                await asyncio.sleep(0.2)
                assert (await verify(live, silent)).clean
                await cross(live)
        await work.audit(other)
        await sides.drained()
        ours, theirs = await sides.exports()
        assert ours == theirs
        async with sides.live() as live:
            await live.complete()
            assert (await live.look()).phase is Phase.COMPLETED
        await one.records.put("c", "k", 1)
        assert (one.lives_in, (await one.health()).lives_in) == ("prod", "prod")
    async with open_store(choose(str(sides.source.url))) as stranger:
        with pytest.raises(StoreMoved, match='use = "prod"'):
            await stranger.records.put("c", "k", 1)


@pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.DUAL, Phase.COPIED, Phase.VERIFIED])
async def test_back_from_every_phase(sides: Sides, phase: Phase) -> None:
    await populate(sides.source, 3)
    before = (await sides.exports())[0]
    await sides.reach(phase)
    await opening.begin_anew(sides.source, sides.target)
    async with sides.live() as live:
        seen = await live.look()
        assert seen.phase is Phase.PREPARED
        assert PEER not in seen.source.sinks
    await sides.reach(Phase.VERIFIED)
    assert await sides.exports() == (before, before)
    assert await opening.cancel(sides.source, sides.target)
    assert not await opening.cancel(sides.source, sides.target)
    async with sides.live() as live:
        seen = await live.look()
        assert (seen.phase, seen.source.peer, seen.target.state) == (Phase.LEGACY, None, ControlState.OPEN)
    await populate(sides.source, 1)


async def test_a_hive_that_moved_is_not_cancelled(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        await cross(live)
    for back in (opening.cancel, opening.begin_anew):
        with pytest.raises(Conflict, match="bring it back first"):
            await back(sides.source, sides.target)
    async with sides.open("local") as hive:
        await hive.records.put("c", "k", 1)


async def test_a_target_that_holds_other_data_is_left_alone(sides: Sides) -> None:
    await populate(sides.source, 1)
    await populate(sides.target, 1)
    before = await sides.exports()
    with pytest.raises(NotEmpty):
        await sides.reach(Phase.PREPARED)
    assert await sides.exports() == before
    await populate(sides.source, 1)


async def test_the_age_of_marks_is_told_behind_one_of_a_stream(sides: Sides) -> None:
    await sides.reach(Phase.DUAL)
    async with sides.open("local") as hive:
        await hive.events.create_group("audit", "billing")  # tells no instant
        await hive.records.put("c", "k", 1)
        await asyncio.sleep(0.02)
    async with sides.live() as live:
        oldest = await oldest_mark_ms(live.drivers[0], live.source)
        assert oldest is not None
        assert oldest >= 10


@pytest.mark.parametrize("end", ["complete", "cancel"])
async def test_killed_processes_are_forgotten_at_the_end(sides: Sides, end: str) -> None:
    killed = Process(id="1", pid=1, host="h", store="local", knows=(), epoch=1, at=1)
    name = PREFIX + killed.id
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        await live.source.note({name: msgspec.json.encode(killed)})
        await live.target.note({name: msgspec.json.encode(killed)})
        if end == "complete":
            await cross(live)
            await live.complete()
    if end == "cancel":
        await opening.cancel(sides.source, sides.target)
    async with sides.live() as live:
        assert name not in await live.source.notes()
        assert name not in await live.target.notes()


async def test_a_switch_that_takes_too_long_is_given_up(sides: Sides) -> None:
    async with sides.open("moving") as hive:
        await hive.records.put("c", "k", 1)
        await sides.reach(Phase.VERIFIED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crossing, "_drain", _never)
            async with sides.live() as live:
                await live.change(budget=0.1)
                with pytest.raises(NotDrained, match=r"within 0\.1 s"):
                    await cross(live)
                seen = await live.look()
        assert (seen.phase, seen.source.state) == (Phase.VERIFIED, ControlState.OPEN)
        await hive.records.put("c", "k", 2)
        async with sides.live() as live:
            await cross(live)
        await hive.records.put("c", "k", 3)


async def _never(_: Pump) -> int:
    await asyncio.sleep(60)
    return 0


async def test_a_store_left_sealed_is_opened_by_who_waits(sides: Sides) -> None:
    """By a process that knows nothing but how to follow."""
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        await live.change(budget=0.1)
        row = await live.source.control()
        await live.source.control(row.epoch, replace(row, state=ControlState.SEALED, term=row.term + 1))
        async with sides.open("local") as hive:
            await hive.records.put("c", "k", 1)
        assert (await live.look()).source.state is ControlState.OPEN
        assert PEER in (await live.look()).source.sinks


async def test_a_store_sealed_for_a_move_at_rest_stays_sealed(sides: Sides) -> None:
    async with sides.live() as live:
        row = await live.source.control()
        row = await live.source.control(row.epoch, replace(row, state=ControlState.SEALED, term=row.term + 1))
        impatience = sealing.Impatience()
        for _ in range(3):
            await impatience.spend(live.source, row)
        assert (await live.source.control()).state is ControlState.SEALED


async def test_a_coordinator_that_wakes_late_changes_nothing(sides: Sides) -> None:
    """It slept between the drain and the decision; somebody opened the store again meanwhile."""
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        drain = crossing._drain

        async def sleeps(pump: Pump) -> int:
            drained = await drain(pump)
            await sealing.unseal(live.source, await live.source.control())
            return drained

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crossing, "_drain", sleeps)
            with pytest.raises(Conflict, match="somebody else changed it"):
                await cross(live)
        seen = await live.look()
        assert (seen.source.state, seen.target.state) == (ControlState.OPEN, ControlState.STANDBY)


async def test_two_coordinators_at_once(sides: Sides) -> None:
    async with sides.open("moving") as hive, at_work(hive) as work:
        await sides.reach(Phase.VERIFIED)
        async with sides.live() as one, sides.live() as other:
            ends = await asyncio.gather(
                *(cross(live) for live in (one, other)),
                return_exceptions=True,
            )
            assert sum(isinstance(end, Conflict) for end in ends) <= 1
            assert all(isinstance(end, Conflict | crossing.Crossed) for end in ends), ends
            assert (await one.look()).phase in (Phase.REVERSE, Phase.VERIFIED)
    async with sides.open("moving") as hive:
        await work.audit(hive)


async def test_mixed_configurations(sides: Sides) -> None:
    """An old one, a dual one and one that is ahead of its time; and a stranger."""
    async with sides.open("local") as old, sides.open("moving") as dual, sides.open("prod") as new:
        await new.records.put("c", "new", "a store of its own, before it is a standby")
    async with sides.live() as live:
        await live.drivers[1].schema("drop")
    async with sides.open("local") as old, sides.open("moving") as dual:
        await sides.reach(Phase.VERIFIED)
        async with sides.open("prod") as new, open_store(choose(str(sides.target.url))) as stranger:
            for n, hive in enumerate((old, dual, new)):
                await hive.records.put("c", f"{n}", "before")
            with pytest.raises(NotPrimary, match='use = "local"'):
                await stranger.records.put("c", "x", 1)
            async with sides.live() as live:
                await cross(live)
            for n, hive in enumerate((old, dual, new, stranger)):
                await hive.records.put("c", f"{n}", "after")
            assert [record.key async for record in stranger.records.list("c")] == ["0", "1", "2", "3"]


async def test_another_store_of_that_name_is_refused(sides: Sides, tmp_path: Path) -> None:
    await sides.reach(Phase.VERIFIED)
    wrong = Sides.of(str(sides.source.url), f"sqlite:///{tmp_path}/another.db")
    async with wrong.live() as live:
        with pytest.raises(Conflict, match="prod is not the store with which this migration was begun"):
            await live.look()


async def test_an_old_store_that_was_put_back_is_refused(sides: Sides, tmp_path: Path) -> None:
    """Two stores would take writes."""
    await populate(sides.source, 1)
    yesterday = (tmp_path / "local.db").read_bytes()
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        await cross(live)
    for beside in tmp_path.glob("local.db*"):
        beside.unlink()
    (tmp_path / "local.db").write_bytes(yesterday)
    with pytest.raises(Conflict, match="it was put back from a backup"):
        await sides.open("moving").open()
    async with sides.open("prod") as hive:
        await hive.records.put("c", "k", 1)


async def test_a_disk_that_is_too_small_stands_in_the_way(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the size of what is to be moved."""
    await populate(sides.source, 1)
    await open_store(sides.target).upgrade_schema()
    async with sides.live() as live:
        held = (await live.drivers[0].stats()).size_bytes
        assert held is not None
        for room, told in ((2 * held, []), (2 * held - 1, ["make room"])):
            monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: SimpleNamespace(free=room))
            found = await against_start(live, accept_durability=True)
            assert [sentence.rpartition("; ")[2] for sentence in found] == told


async def test_who_cannot_follow_stands_in_the_way(sides: Sides) -> None:
    await sides.reach(Phase.VERIFIED)
    blind = Sides.of(str(sides.source.url), str(sides.target.url))
    tables = {"local": blind.config.stores["local"], "elsewhere": blind.config.stores["prod"]}
    from hive_state_core.config import Config

    async with open_store(choose("local", Config({"stores": tables})), janitor=False) as hive:
        async with sides.live() as live:
            for _ in range(200):
                if found := await against_switch(live, await live.look()):
                    break
                await asyncio.sleep(0.05)
            assert "does not know the store prod" in found[0]
        await hive.records.put("c", "k", 1)


async def test_who_is_not_ready_to_follow_stands_in_the_way(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, warm = asyncio.Event(), Following.warm

    async def late(following: Following, name: str) -> None:
        await ready.wait()
        await warm(following, name)

    monkeypatch.setattr(Following, "warm", late)
    await sides.reach(Phase.VERIFIED)
    async with sides.open("local"), sides.live() as live:
        async with asyncio.timeout(30):
            while not (found := await against_switch(live, await live.look())):
                await asyncio.sleep(0.01)
            assert "makes ready to go to prod" in found[0]
            ready.set()
            while await against_switch(live, await live.look()):
                await asyncio.sleep(0.01)


async def test_the_other_store_is_opened_beforehand(sides: Sides) -> None:
    """Also if it is dropped and made anew meanwhile."""
    async with sides.open("local") as hive:
        await sides.reach(Phase.VERIFIED)
        following = hive._driver
        assert isinstance(following, Following)
        for _ in range(200):
            if "prod" in following._members:
                break
            await asyncio.sleep(0.05)
        there = following._members["prod"]
        await there.open()
        await opening.begin_anew(sides.source, sides.target)
        await sides.reach(Phase.VERIFIED)
        async with sides.live() as live:
            await cross(live)
        await hive.records.put("c", "k", 1)
        assert following.at is there


async def test_a_switch_works_alone(sides: Sides) -> None:
    """Whoever sends at the moment stops, so that nobody holds locks beside it."""
    await sides.reach(Phase.VERIFIED)
    async with sides.live() as live:
        worker = Worker(live)
        assert await worker.turn()
        lease = Lease(live.source)
        assert not await lease.hold()
        await lease.take()
        assert not await worker.turn()
        await lease.release()
        assert await worker.turn()
        await worker.release()


async def test_ack_both(tmp_path: Path) -> None:
    """What was acknowledged is in both."""
    urls = (f"sqlite:///{tmp_path}/{name}.db" for name in ("local", "prod"))
    sides = Sides.of(*urls, ack="both")
    await sides.reach(Phase.COPIED)
    async with sides.open("moving") as hive, open_store(sides.target, follow=False, janitor=False) as there:
        for _ in range(100):
            if hive._driver._sender._worker is not None and hive._driver._sender._worker.sends:  # type: ignore[attr-defined]
                break
            await asyncio.sleep(0.02)
        for n in range(20):
            await hive.records.put("c", "k", n)
            assert (await there.records.get("c", "k")).value == n  # type: ignore[union-attr]


@asynccontextmanager
async def two_who_begin(sides: Sides) -> AsyncIterator[tuple[Live, Live]]:
    await open_store(sides.target).upgrade_schema()
    async with (
        opening.live(sides.source, sides.target) as one,
        opening.live(sides.source, sides.target) as other,
    ):
        yield one, other


async def test_of_two_who_begin_at_one_instant_one_wins(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is told, and what it would have begun leaves nothing."""
    async with two_who_begin(sides) as (one, other):

        async def overtaken(name: str) -> None:
            if name == "prepare: standby made":
                monkeypatch.undo()
                await one.prepare(chunk=7)

        monkeypatch.setattr(live, "reached", overtaken)
        with pytest.raises(Conflict, match="at the same instant: `hive-state migrate status`"):
            await other.prepare(chunk=8)
        job, seen = await other.require_job()
        assert (job.chunk, seen.phase) == (7, Phase.PREPARED)


async def test_who_finds_the_standby_changed_is_told_as_well(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_who_begin(sides) as (one, other):

        async def overtaken(target: Replication, name: str) -> Control:
            monkeypatch.undo()
            row = await live.make_standby(target, name)
            await one.prepare()
            return row

        monkeypatch.setattr(live, "make_standby", overtaken)
        with pytest.raises(Conflict, match="at the same instant: `hive-state migrate status`"):
            await other.prepare()
        assert (await other.look()).phase is Phase.PREPARED


async def test_what_another_one_copies_meanwhile_is_no_older_copy(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be dropped while it is made."""
    await populate(sides.source)
    async with two_who_begin(sides) as (one, other):

        async def overtaken(target: Replication, name: str) -> Control:
            monkeypatch.undo()
            await sides.reach(Phase.COPIED)
            return await live.make_standby(target, name)

        monkeypatch.setattr(live, "make_standby", overtaken)
        with pytest.raises(Conflict, match="at the same instant: `hive-state migrate status`"):
            await other.prepare()
        assert (await one.look()).phase is Phase.COPIED


async def test_who_joins_one_that_begins_takes_nothing_away(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_who_begin(sides) as (one, other):
        await one.prepare(chunk=7)

        async def joined(name: str) -> None:
            monkeypatch.undo()
            await other.prepare()

        monkeypatch.setattr(live, "reached", joined)
        await one.capture()
        job, seen = await other.require_job(Phase.DUAL)
        assert (job.chunk, PEER in seen.source.sinks) == (7, True)
        assert await other.prepare() == await other.capture() == job


async def test_of_two_who_begin_to_capture_none_forgets_what_was_marked(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be found lost by the comparison, and sent once more."""
    async with two_who_begin(sides) as (one, other), sides.open("local") as hive:
        await one.prepare()

        async def joined(name: str) -> None:
            monkeypatch.undo()
            await hive.records.put("c", "k", 1)
            await other.capture()
            await hive.records.put("c", "k", 2)

        monkeypatch.setattr(live, "reached", joined)
        job = await one.capture()
        assert job == (await other.require_job(Phase.DUAL))[0]
        assert [mark.ref for mark in await one.source.marks(PEER, 10)] == [RecordRef("c", "k")]


async def test_what_a_killed_coordinator_had_marked_is_kept(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.reach(Phase.PREPARED)
    async with sides.live() as live_, sides.open("local") as hive:

        async def killed(_: str) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(live, "reached", killed)
        with pytest.raises(asyncio.CancelledError):
            await live_.capture()
        monkeypatch.undo()
        await hive.records.put("c", "k", 1)
        await live_.capture()
        assert [mark.ref for mark in await live_.source.marks(PEER, 10)] == [RecordRef("c", "k")]
    await sides.reach(Phase.COPIED)
    await sides.drained()
    ours, theirs = await sides.exports()
    assert ours == theirs


async def stale_copy(sides: Sides) -> None:
    """What somebody leaves who is killed as he goes back to prepared."""
    await populate(sides.source)
    await sides.reach(Phase.COPIED)
    async with sides.live() as live:
        await live.release()


async def test_of_two_who_find_a_stale_copy_the_second_drops_no_new_one(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stale_copy(sides)
    prepare = Live.prepare

    async def overtaken(self: Live) -> None:
        monkeypatch.undo()
        with pytest.raises(StaleCopy):
            await prepare(self)
        await sides.reach(Phase.COPIED)
        raise StaleCopy("as it was before")

    monkeypatch.setattr(Live, "prepare", overtaken)
    await opening.prepare(sides.source, sides.target)
    async with sides.live() as live:
        assert (await live.look()).phase is Phase.COPIED
    await sides.reach(Phase.VERIFIED)


async def test_who_finds_a_stale_copy_waits_for_who_may_drop_it(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stale_copy(sides)
    monkeypatch.setattr(opening, "LOOK", 0.01)
    hold, refused = Lease.hold, asyncio.Event()

    async def watched(lease: Lease) -> bool:
        held = await hold(lease)
        if not held:
            refused.set()
        return held

    async with sides.live() as live:
        lease = Lease(live.source)
        assert await lease.hold()
        monkeypatch.setattr(Lease, "hold", watched)
        beginning = asyncio.create_task(opening.prepare(sides.source, sides.target))
        await refused.wait()
        refused.clear()
        await refused.wait()
        assert await live.target.export(Span(kind="record", limit=1)), "it is not dropped"
        await lease.release()
        await beginning
    async with sides.live() as live:
        assert not await live.target.export(Span(kind="record", limit=1))
