"""Consumer groups of the KVDriver at SPI level, and what a trim leaves them."""

from __future__ import annotations

import asyncio

import pytest

from hive_state_core.kv.streams import TRIM
from hive_state_core.model import GroupRef, StreamRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    Committed,
    CreateGroup,
    DropGroup,
    DropStream,
    GroupStats,
    Nack,
    Op,
    Reason,
    Refused,
    Retention,
    Scan,
    Seek,
    Swept,
    Trim,
    Trimmed,
)
from hive_state_memory.driver import MemoryDriver

from .driving import Manual, commit, do
from .streaming import LEASE, G, H, S, append, claim, follow, group, named, refusal, seqs, state, stream, take

pytestmark = pytest.mark.prompt


# --- groups


@pytest.mark.parametrize(
    ("position", "kept"), [(None, 3), (0, 0), (2, 2), (3, 3), (99, 3)], ids=["now", "0", "2", "3", "99"]
)
async def test_a_group_begins_behind_its_position(
    driver: MemoryDriver, position: int | None, kept: int
) -> None:
    await append(driver, 3)
    await group(driver, position=position)
    assert (await state(driver))[0] == kept
    await append(driver, 1)
    assert seqs(await take(driver)) == list(range(kept + 1, 5))


async def test_a_group_may_be_there_before_its_stream(driver: MemoryDriver) -> None:
    await group(driver, G, position=None)
    await group(driver, H, position=7)
    assert await stream(driver) is None
    assert await claim(driver, ClaimEvents(G, "c", LEASE)) == [ClaimedEvents(())]
    assert (await driver.stats()).groups[G.stream, G.group] == GroupStats(
        position=0, lag=0, pending=0, dead=0, oldest_at=None
    )
    await append(driver, 2)
    assert seqs(await take(driver, ref=G)) == seqs(await take(driver, ref=H)) == [1, 2]


async def test_a_group_sees_the_appends_of_its_own_batch(driver: MemoryDriver) -> None:
    results = await do(driver, Append(S, b""), Append(S, b""), CreateGroup(G, None, 3), Append(S, b""))
    assert results == (1, 2, True, 3)
    assert seqs(await take(driver)) == [3]


async def test_a_group_that_exists_stays_as_it_is(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver, position=1, most=2)
    (before,) = (await driver.read([G])).results
    assert await do(driver, CreateGroup(G, 3, 9)) == (False,)
    assert (await driver.read([G])).results == [before]


async def test_a_dropped_group_is_forgotten_with_its_deliveries(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver, 1)
    assert await do(driver, DropGroup(G)) == (True,)
    assert await do(driver, DropGroup(G)) == (False,)
    assert (await driver.read([G])).results == [None]
    assert await claim(driver, ClaimEvents(G, "c", LEASE)) == [ClaimedEvents((), missing=True)]
    assert (await refusal(driver, Ack(G, named(found)))).actual == 0
    await group(driver)
    assert (await refusal(driver, Ack(G, named(found)))).actual == 0
    assert [each.delivery for each in await take(driver)] == [1, 1]


async def test_seek_sets_the_position_and_forgets_the_rest(driver: MemoryDriver) -> None:
    await append(driver, 4)
    await group(driver)
    found = await take(driver, 3)
    await do(driver, Nack(G, named(found[:1]), None))
    await do(driver, Seek(G, 1))
    assert await state(driver) == (1, 0, 0)
    assert (await refusal(driver, Ack(G, named(found[1:])))).seq == 2
    assert seqs(await take(driver)) == [2, 3, 4]
    await do(driver, Seek(G, 99))
    assert await state(driver) == (4, 0, 0)
    await do(driver, Append(S, b""), Seek(G, 99))
    assert (await state(driver))[0] == 5
    await do(driver, Seek(G, -1))
    assert (await state(driver))[0] == 0


async def test_seek_of_no_group_is_refused(driver: MemoryDriver) -> None:
    assert await refusal(driver, Append(S, b""), Seek(G, 0)) == Refused(Reason.MISSING, G, 1, in_check=False)


# --- trim


async def test_trim_without_groups(driver: MemoryDriver) -> None:
    await append(driver, 5)
    assert await do(driver, Trim(S, 3)) == (Trimmed(2, 0, 3),)
    assert await do(driver, Trim(S, 3)) == (Trimmed(0, 0, 3),)
    assert await do(driver, Trim(S, 99)) == (Trimmed(3, 0, 6),)
    image = await stream(driver)
    assert image is not None
    assert (image.first, image.last, image.dropped) == (6, 5, False)
    assert await do(driver, Append(S, b"")) == (6,)
    assert await do(driver, Trim(StreamRef("none"), 3)) == (Trimmed(0, 0, 1),)
    assert await stream(driver, StreamRef("none")) is None


async def test_a_trim_of_nothing_writes_nothing(driver: MemoryDriver) -> None:
    await append(driver, 2)
    await group(driver)
    for op in (Trim(S, 1), Trim(S, 9), Trim(StreamRef("none"), 9, force=True)):
        (outcome,) = await commit(driver, Batch((op,)))
        assert isinstance(outcome, Committed)
        assert outcome.version == 0


async def test_trim_keeps_what_a_group_has_not_finished(driver: MemoryDriver) -> None:
    await append(driver, 6)
    await group(driver, G)
    await group(driver, H, position=5)
    assert await do(driver, Trim(S, 9)) == (Trimmed(0, 0, 1),)  # nothing was handed out yet
    first, second, third, _ = await take(driver, 4)
    await do(driver, Ack(G, named([first, third])))
    assert await do(driver, Trim(S, 9)) == (Trimmed(1, 0, 2),)  # 2 is pending, so 3 stays too
    await do(driver, Nack(G, named([second]), None))
    assert await do(driver, Trim(S, 9)) == (Trimmed(0, 0, 2),)  # dead
    assert await do(driver, Ack(G, ((2, 0),)), Trim(S, 9)) == (None, Trimmed(2, 0, 4))
    assert await do(driver, Trim(S, 5)) == (Trimmed(0, 0, 4),)
    assert (await follow(driver)).first == 4


async def test_a_forced_trim_counts_and_forgets(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 6)
    await group(driver, G)
    await group(driver, H)
    one, two, three = await take(driver, 3, G)
    await do(driver, Ack(G, named([one])))
    await do(driver, Nack(G, named([two]), None))
    await do(driver, Ack(H, named(await take(driver, 4, H))))
    assert await do(driver, Trim(S, 6, force=True)) == (Trimmed(5, 4, 6),)  # all but event 1
    assert await state(driver, G) == (3, 0, 0)
    assert (await refusal(driver, Ack(G, named([three])))).actual == 0
    memory.instant += LEASE
    assert seqs(await take(driver, ref=G)) == seqs(await take(driver, ref=H)) == [6]


async def test_a_trim_is_bounded(driver: MemoryDriver) -> None:
    for _ in range(3):
        await append(driver, 500)
    assert await do(driver, Trim(S, 1400)) == (Trimmed(TRIM, 0, TRIM + 1),)
    assert await do(driver, Trim(S, 1400)) == (Trimmed(399, 0, 1400),)


# --- scans, stats, hints, sweep


async def test_streams_and_groups_are_scanned_in_name_order(driver: MemoryDriver) -> None:
    for name in ("b", "a", "c"):
        await append(driver, 1, StreamRef(name))
        await group(driver, GroupRef("b", name))
    await do(driver, DropStream(StreamRef("a")))
    page = await driver.scan(Scan(kind="stream", limit=1))
    assert ([each.ref for each in page.items], page.next) == ([StreamRef("b")], "b")
    page = await driver.scan(Scan(kind="stream", limit=1, after=page.next))
    assert [each.ref for each in page.items] == [StreamRef("c")]
    groups = await driver.scan(Scan(kind="group", within="b", reverse=True, stop="c"))
    assert [each.ref for each in groups.items] == [GroupRef("b", "b"), GroupRef("b", "a")]
    assert (await driver.scan(Scan(kind="group", within="a", count=True))).total == 0


async def test_stats_of_groups(driver: MemoryDriver, memory: Manual) -> None:
    begin = memory.instant
    for _ in range(5):
        await append(driver, 1)
        memory.instant += 10
    await group(driver, G)
    await group(driver, H, position=None)

    async def stats(ref: GroupRef = G) -> GroupStats:
        return (await driver.stats()).groups[ref.stream, ref.group]

    assert await stats() == GroupStats(position=0, lag=5, pending=0, dead=0, oldest_at=begin)
    assert await stats(H) == GroupStats(position=5, lag=0, pending=0, dead=0, oldest_at=None)
    first, second, third = await take(driver, 3)
    await do(driver, Ack(G, named([first])))
    await do(driver, Nack(G, named([second]), None))
    assert await stats() == GroupStats(position=3, lag=2, pending=1, dead=1, oldest_at=begin + 10)
    await do(driver, Ack(G, ((2, 0), *named([third]))))
    assert await stats() == GroupStats(position=3, lag=2, pending=0, dead=0, oldest_at=begin + 30)
    await do(driver, Trim(S, 5, force=True))
    assert await stats() == GroupStats(position=3, lag=1, pending=0, dead=0, oldest_at=begin + 40)
    assert (await driver.stats()).streams == {"s": 1}


async def test_a_wait_on_a_stream_is_woken_when_there_is_something_to_hand_out(driver: MemoryDriver) -> None:
    async def woken_by(*ops: Op) -> bool:
        waiting = asyncio.create_task(driver.wait(frozenset({S}), 20))
        await asyncio.sleep(0)
        await do(driver, *ops)
        return await waiting == {S}

    await group(driver)
    assert await woken_by(Append(S, b""))
    assert await woken_by(Nack(G, named(await take(driver)), 0))
    assert await woken_by(Seek(G, 0))
    assert not await woken_by(Append(StreamRef("other"), b""))
    assert not await woken_by(Ack(G, named(await take(driver))))


async def test_a_sweep_leaves_streams_alone(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver, most=1)
    found = await take(driver)
    memory.instant += 99 * LEASE
    assert await driver.sweep(100, Retention(completed=0, tombstones=0)) == Swept()
    await do(driver, Ack(G, named(found)))
