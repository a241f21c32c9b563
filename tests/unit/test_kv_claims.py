"""Claims of events of the KVDriver, at SPI level."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hive_state_core.kv import Row
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import PendingImage, PendingRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    ClaimedEvents,
    ClaimedTasks,
    ClaimEvents,
    ClaimTasks,
    CreateGroup,
    Enqueue,
    ExtendDeliveries,
    Nack,
    Seek,
    Trim,
)
from hive_state_memory.driver import MemoryDriver

from .driving import Manual, Slow, do
from .streaming import LEASE, G, H, Meddled, S, append, claim, group, named, pending, seqs, state, take

pytestmark = pytest.mark.prompt


async def test_a_claim_hands_out_what_was_not_handed_yet(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 3)
    await group(driver)
    (claimed,) = await claim(driver, ClaimEvents(G, "c", LEASE, 2))
    first, second = claimed.deliveries
    assert (first.event.body, first.delivery, first.until) == (b"0", 1, memory.instant + LEASE)
    assert first.token == second.token
    assert claimed.next_due_in is None
    assert await state(driver) == (2, 2, 0)
    image = pending(memory, 1)
    assert image == PendingImage(
        ref=PendingRef("s", "g", 1),
        version=first.token,
        token=first.token,
        deliveries=1,
        consumer="c",
        until=first.until,
        dead=False,
        error=None,
    )


async def test_consumers_of_a_group_never_share_and_every_group_gets_all(driver: MemoryDriver) -> None:
    await append(driver, 5)
    await group(driver, G)
    await group(driver, H)
    requests = [ClaimEvents(G, "a", LEASE, 2), ClaimEvents(H, "b", LEASE, 9), ClaimEvents(G, "c", LEASE, 9)]
    assert [seqs(each.deliveries) for each in await claim(driver, *requests)] == [
        [1, 2],
        [1, 2, 3, 4, 5],
        [3, 4, 5],
    ]
    assert await take(driver) == ()


async def test_racing_consumers_get_each_event_once(memory: Manual) -> None:
    drivers = [Slow(memory, "hive") for _ in range(3)]
    for each in drivers:
        await each.open()
    await append(drivers[0], 60)
    await group(drivers[0])
    handed: list[int] = []

    async def work(driver: MemoryDriver) -> None:
        while found := await take(driver, 4):
            handed.extend(seqs(found))
            await do(driver, Append(StreamRef("log"), b""), Ack(G, named(found)), Trim(S, found[0].event.seq))

    await asyncio.gather(*map(work, drivers))
    assert sorted(handed) == list(range(1, 61))
    assert await state(drivers[0]) == (60, 0, 0)


async def test_a_trip_may_claim_tasks_and_events(driver: MemoryDriver) -> None:
    await do(driver, Append(S, b""), Enqueue(TaskRef("t"), "q", b"1"), CreateGroup(G, 0, 1))
    tasks, events = await claim(driver, ClaimTasks("q", "w", LEASE), ClaimEvents(G, "c", LEASE))
    assert isinstance(tasks, ClaimedTasks)
    assert isinstance(events, ClaimedEvents)
    assert tasks.tasks[0].token == events.deliveries[0].token


async def test_deliveries_that_are_due_come_first_in_seq_order(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 5)
    await group(driver)
    first, *others = await take(driver, 3)
    last = others.pop()
    await do(driver, Nack(G, named([last]), retry_in=500))
    await do(driver, ExtendDeliveries(G, named(others), 5000))
    memory.instant += LEASE
    found = await take(driver)
    assert [(each.event.seq, each.delivery) for each in found] == [(1, 2), (3, 2), (4, 1), (5, 1)]
    assert all(each.token > first.token for each in found)
    assert await state(driver) == (5, 5, 0)


async def test_of_the_deliveries_that_are_due_no_more_than_asked_for(
    driver: MemoryDriver, memory: Manual
) -> None:
    await append(driver, 3)
    await group(driver)
    await take(driver, 3)
    memory.instant += LEASE
    assert [seqs(await take(driver, 2)), seqs(await take(driver, 2))] == [[1, 2], [3]]


class Overtaken(Meddled):
    """Something is done after the next range that is not empty was read."""

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        rows = await MemoryDriver.range(self, start, stop, limit, reverse)
        if rows and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            await meddle()
        return rows


async def test_a_delivery_that_is_acked_while_it_is_due(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver)
    given = await take(driver, 2)
    memory.instant += LEASE
    claimer = Overtaken(memory, "hive")
    claimer.meddle = lambda: do(driver, Ack(G, named(given[:1])))
    assert seqs(await take(claimer, 2)) == [2]


async def test_next_due_is_when_a_delivery_may_be_claimed(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver, 2)
    await do(driver, Nack(G, named(found[1:]), retry_in=300))
    assert await claim(driver, ClaimEvents(G, "c", LEASE)) == [ClaimedEvents((), next_due_in=300)]
    await do(driver, Ack(G, named(found[:1])))
    memory.instant += 300
    (claimed,) = await claim(driver, ClaimEvents(G, "c", LEASE, 9))
    assert (seqs(claimed.deliveries), claimed.next_due_in) == ([2], LEASE)
    await do(driver, Ack(G, named(claimed.deliveries)))
    assert await claim(driver, ClaimEvents(G, "c", LEASE)) == [ClaimedEvents(())]


async def test_a_claim_of_nothing_writes_nothing(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver, position=None)
    before = dict(memory.rows.items())
    await take(driver)
    assert memory.rows.items() == before


async def test_a_claim_ends_early_by_size(driver: MemoryDriver, memory: Manual) -> None:
    body = bytes(REPLY_BYTES // 2)
    for _ in range(4):
        await do(driver, Append(S, body))
    await group(driver, G)
    await group(driver, H)
    requests = [ClaimEvents(G, "c", LEASE, 9), ClaimEvents(H, "c", LEASE, 9)]
    first, second = await claim(driver, *requests)
    assert (seqs(first.deliveries), first.next_due_in) == ([1, 2, 3], 0)
    assert second == ClaimedEvents((), next_due_in=0)
    memory.instant += LEASE
    first, second = await claim(driver, *reversed(requests))
    assert (seqs(first.deliveries), second.deliveries) == ([1, 2, 3], ())
    assert seqs(await take(driver, 9)) == [1, 2, 3]


async def test_trimmed_events_are_skipped(driver: MemoryDriver) -> None:
    await append(driver, 4)
    await group(driver)
    await do(driver, Trim(S, 3, force=True))
    assert (await driver.stats()).groups["s", "g"].lag == 2
    assert seqs(await take(driver)) == [3, 4]
    await do(driver, Seek(G, 0), Append(S, b""), Trim(S, 6, force=True))
    assert await take(driver) == ()
    assert (await state(driver))[1:] == (0, 0)
