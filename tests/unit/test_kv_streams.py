"""Streams and consumer groups of the KVDriver, at SPI level."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_state_core.features import Facility
from hive_state_core.kv import Row, keys
from hive_state_core.kv.streams import TRIM
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    EventImage,
    GroupImage,
    GroupRef,
    PendingImage,
    PendingRef,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import (
    LEASE_EXPIRED,
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimedTasks,
    ClaimEvents,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Complete,
    CreateGroup,
    Delivery,
    DropGroup,
    DropStream,
    Enqueue,
    Enqueued,
    ExtendDeliveries,
    GroupStats,
    Nack,
    Op,
    OpResult,
    Outcome,
    Put,
    Reason,
    Refused,
    Retention,
    Scan,
    Seek,
    StreamPage,
    StreamRead,
    Swept,
    Trim,
    Trimmed,
)
from hive_state_memory.driver import Memory, MemoryDriver

pytestmark = pytest.mark.prompt

S, G, H = StreamRef("s"), GroupRef("s", "g"), GroupRef("s", "h")
LEASE = 1000
_trips = count()


class Manual(Memory):
    """A memory whose clock the test sets."""

    instant = 1_000_000

    def clock(self) -> int:  # type: ignore[override]
        return self.instant


@pytest.fixture
def memory() -> Manual:
    return Manual()


@pytest.fixture
async def driver(memory: Manual) -> AsyncIterator[MemoryDriver]:
    driver = MemoryDriver(memory, "hive")
    await driver.open()
    yield driver
    await driver.close()


async def commit(driver: MemoryDriver, *batches: Batch) -> list[Outcome]:
    return list((await driver.commit(batches, f"t{next(_trips)}")).results)


async def do(driver: MemoryDriver, *ops: Op) -> tuple[OpResult, ...]:
    """One batch that is not refused; its results."""
    (outcome,) = await commit(driver, Batch(ops))
    assert isinstance(outcome, Committed)
    return outcome.results


async def refusal(driver: MemoryDriver, *ops: Op) -> Refused:
    (outcome,) = await commit(driver, Batch(ops))
    assert isinstance(outcome, Refused)
    return outcome


async def append(driver: MemoryDriver, number: int, ref: StreamRef = S) -> None:
    await do(driver, *(Append(ref, b"%d" % n) for n in range(number)))


async def group(driver: MemoryDriver, ref: GroupRef = G, position: int | None = 0, most: int = 3) -> None:
    assert await do(driver, CreateGroup(ref, position, most)) == (True,)


async def claim(driver: MemoryDriver, *requests: ClaimRequest) -> list[Any]:
    return list((await driver.claim(requests, f"t{next(_trips)}")).results)


async def take(
    driver: MemoryDriver, limit: int = 10, ref: GroupRef = G, consumer: str = "c", lease: int = LEASE
) -> tuple[Delivery, ...]:
    (claimed,) = await claim(driver, ClaimEvents(ref, consumer, lease, limit))
    assert isinstance(claimed, ClaimedEvents)
    assert not claimed.missing
    return claimed.deliveries


def seqs(found: Sequence[Delivery | EventImage]) -> list[int]:
    return [each.event.seq if isinstance(each, Delivery) else each.seq for each in found]


def named(found: Sequence[Delivery]) -> tuple[tuple[int, int], ...]:
    return tuple((each.event.seq, each.token) for each in found)


async def follow(driver: MemoryDriver, start: int = 1, limit: int = 100, reverse: bool = False) -> StreamPage:
    return (await driver.stream([StreamRead(S, start, limit, reverse)])).results[0]


async def stream(driver: MemoryDriver, ref: StreamRef = S) -> StreamImage | None:
    (image,) = (await driver.read([ref])).results
    assert image is None or isinstance(image, StreamImage)
    return image


async def state(driver: MemoryDriver, ref: GroupRef = G) -> tuple[int, int, int]:
    """(position, pending, dead)"""
    (image,) = (await driver.read([ref])).results
    assert isinstance(image, GroupImage)
    return image.position, image.pending, image.dead


def pending(memory: Memory, seq: int, ref: GroupRef = G) -> PendingImage | None:
    key = b"hive\0" + keys.key_of(PendingRef(ref.stream, ref.group, seq))
    data = memory.rows.get(key)
    return None if data is None else keys.decode(data, PendingImage)


def test_streams_are_declared(memory: Manual) -> None:
    assert MemoryDriver(memory, "hive").features.has(Facility.STREAMS)


# --- append


async def test_append_creates_the_stream_and_counts_from_1(driver: MemoryDriver, memory: Manual) -> None:
    assert await stream(driver) is None
    (outcome,) = await commit(driver, Batch((Append(S, b"a"), Append(S, b"b", raw=True))))
    assert isinstance(outcome, Committed)
    assert outcome.results == (1, 2)
    version, at = outcome.version, memory.instant
    assert await stream(driver) == StreamImage(ref=S, version=version, first=1, last=2, dropped=False)
    assert (await follow(driver)).events == (
        EventImage(stream="s", seq=1, version=version, body=b"a", raw=False, at=at),
        EventImage(stream="s", seq=2, version=version, body=b"b", raw=True, at=at),
    )


async def test_a_refused_batch_leaves_no_gap(driver: MemoryDriver) -> None:
    """Neither within a trip nor from one to the next."""
    first, refused, last = await commit(
        driver,
        Batch((Append(S, b"a"),)),
        Batch((Append(S, b"x"), Append(S, b"y"), Complete(TaskRef("none"), 9))),
        Batch((Append(S, b"b"), Append(S, b"c"))),
    )
    assert isinstance(first, Committed)
    assert isinstance(last, Committed)
    assert (first.results, last.results) == ((1,), (2, 3))
    assert isinstance(refused, Refused)
    assert refused.index == 2
    await refusal(driver, Append(S, b"z"), Seek(GroupRef("s", "none"), 0))
    assert await do(driver, Append(S, b"d")) == (4,)
    assert [event.body for event in (await follow(driver)).events] == [b"a", b"b", b"c", b"d"]


async def test_a_remembered_commit_does_not_append_again(driver: MemoryDriver) -> None:
    batch = Batch((Append(S, b"a"),), commit_id="c", fingerprint=b"f")
    assert await commit(driver, batch) == await commit(driver, batch)
    assert await do(driver, Append(S, b"b")) == (2,)


async def test_a_batch_appends_puts_and_enqueues_or_does_nothing(driver: MemoryDriver) -> None:
    put, enqueue = Put(RecordRef("c", "a"), b"1"), Enqueue(TaskRef("t"), "q", b"1")
    await refusal(driver, Append(S, b"a"), put, enqueue, Seek(G, 0))
    assert (await driver.read([S, put.ref, enqueue.ref])).results == [None, None, None]
    assert await do(driver, Append(S, b"a"), put, enqueue) == (1, None, Enqueued("t", created=True))
    assert None not in (await driver.read([S, put.ref, enqueue.ref])).results


async def test_streams_are_apart_and_their_names_are_literal(driver: MemoryDriver) -> None:
    names = ["s", "s*", "s%", "S", "s s", "é"]
    for name in names:
        await append(driver, 2, StreamRef(name))
    await group(driver, GroupRef("s*", "g"))
    assert seqs(await take(driver, ref=GroupRef("s*", "g"))) == [1, 2]
    assert (await driver.stats()).streams == dict.fromkeys(names, 2)


async def test_instants_never_go_back_even_if_the_clock_does(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    memory.instant -= 5000
    await append(driver, 1)
    first, second = (await follow(driver)).events
    assert first.at == second.at
    assert first.version < second.version


# --- reading by number


async def test_a_stream_is_read_from_a_number_on_and_back(driver: MemoryDriver) -> None:
    await append(driver, 200)
    assert seqs((await follow(driver, 3, 2)).events) == [3, 4]
    assert seqs((await follow(driver, 150, 100)).events) == list(range(150, 201))
    assert seqs((await follow(driver, -7, 2)).events) == [1, 2]
    assert seqs((await follow(driver, 3, 9, reverse=True)).events) == [3, 2, 1]
    assert seqs((await follow(driver, 2**53, 100, reverse=True)).events) == list(range(200, 100, -1))
    assert (await follow(driver, 201)) == StreamPage((), 1, 200)
    assert (await follow(driver, 0, reverse=True)) == StreamPage((), 1, 200)


async def test_no_stream_has_first_1_and_last_0(driver: MemoryDriver) -> None:
    assert await follow(driver) == StreamPage((), 1, 0)
    assert await follow(driver, 5, reverse=True) == StreamPage((), 1, 0)
    assert (await driver.stream([])).results == []


async def test_a_start_below_first_was_trimmed(driver: MemoryDriver) -> None:
    await append(driver, 5)
    assert await do(driver, Trim(S, 4)) == (Trimmed(3, 0, 4),)
    page = await follow(driver, 2)
    assert (seqs(page.events), page.first, page.last) == ([4, 5], 4, 5)
    assert seqs((await follow(driver, 9, reverse=True)).events) == [5, 4]


async def test_reads_of_one_call_answer_in_order(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 3)
    await append(driver, 1, StreamRef("t"))
    reads = [StreamRead(StreamRef("t"), 1, 9), StreamRead(S, 2, 1), StreamRead(S, 2, 1, reverse=True)]
    reply = await driver.stream(reads)
    assert reply.at == memory.instant
    assert [(seqs(page.events), page.last) for page in reply.results] == [([1], 1), ([2], 3), ([2], 3)]


async def test_a_large_read_ends_early_and_every_read_gets_something(driver: MemoryDriver) -> None:
    body = bytes(REPLY_BYTES // 2)
    for _ in range(4):
        await do(driver, Append(S, body))
    reads = [StreamRead(S, 1, 10), StreamRead(S, 4, 10, reverse=True)]
    forward, backward = (await driver.stream(reads)).results
    assert (seqs(forward.events), seqs(backward.events)) == ([1, 2, 3], [4])
    assert forward.last == 4


class Meddled(MemoryDriver):
    """Something is done before the next range is read."""

    meddle: Callable[[], Any] | None = None

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        if self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            await meddle()
        return await super().range(start, stop, limit, reverse)


@pytest.mark.parametrize("reverse", [False, True])
async def test_events_and_bounds_are_of_one_snapshot(
    driver: MemoryDriver, memory: Manual, reverse: bool
) -> None:
    reader = Meddled(memory, "hive")
    await append(driver, 3)
    start = 9 if reverse else 1

    reader.meddle = lambda: append(driver, 2)
    page = await follow(reader, start, reverse=reverse)
    assert (sorted(seqs(page.events)), page.first, page.last) == ([1, 2, 3], 1, 3)

    reader.meddle = lambda: do(driver, Append(S, b""), Trim(S, 3))
    page = await follow(reader, start, reverse=reverse)
    assert (sorted(seqs(page.events)), page.first, page.last) == ([3, 4, 5, 6], 3, 6)

    reader.meddle = lambda: do(driver, DropStream(S), Append(S, b""))
    page = await follow(reader, start, reverse=reverse)
    assert (sorted(seqs(page.events)), page.first, page.last) == ([7], 7, 7)


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


# --- claims


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


class Slow(MemoryDriver):
    """Others have their turn in every primitive."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await asyncio.sleep(0)
        return await super().get(keys)

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        await asyncio.sleep(0)
        return await super().range(start, stop, limit, reverse)


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


# --- ack, nack, extend


async def test_acked_deliveries_do_not_come_back(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver)
    assert await do(driver, Ack(G, named(found))) == (None,)
    memory.instant += 10 * LEASE
    assert await take(driver) == ()
    assert await state(driver) == (2, 0, 0)


async def test_a_batch_appends_twice_and_acks_an_earlier_event(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    assert await do(driver, Append(S, b"x"), Append(S, b"y"), Ack(G, named(found))) == (2, 3, None)
    refused = await refusal(driver, Append(S, b"z"), Ack(G, named(found)))
    assert refused == Refused(Reason.LEASE, G, 1, False, found[0].token, 0, seq=1)
    assert await do(driver, Append(S, b"z")) == (4,)


_USES: list[Callable[[Sequence[Delivery]], Op]] = [
    lambda found: Ack(G, named(found)),
    lambda found: Nack(G, named(found), 0),
    lambda found: ExtendDeliveries(G, named(found), LEASE),
]


@pytest.mark.parametrize("use", _USES, ids=["ack", "nack", "extend"])
async def test_late_use_after_a_redelivery_is_refused(
    driver: MemoryDriver, memory: Manual, use: Callable[[Sequence[Delivery]], Op]
) -> None:
    """The whole batch, and the new delivery is untouched."""
    await append(driver, 3)
    await group(driver)
    old = await take(driver, 2)
    await do(driver, ExtendDeliveries(G, named(old[:1]), 5000))
    memory.instant += LEASE
    (new,) = await take(driver, 1)
    refused = await refusal(driver, use(old))
    assert refused == Refused(Reason.LEASE, G, 0, False, old[1].token, new.token, seq=2)
    assert await state(driver) == (2, 2, 0)
    await do(driver, Ack(G, named([old[0], new])))


@pytest.mark.parametrize("use", _USES, ids=["ack", "nack", "extend"])
async def test_a_lease_that_is_over_is_current_until_it_is_handed_out_again(
    driver: MemoryDriver, memory: Manual, use: Callable[[Sequence[Delivery]], Op]
) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver)
    memory.instant += 5 * LEASE
    assert seqs(await take(driver, 1)) == [1]
    await do(driver, use(found[1:]))


async def test_only_pending_deliveries_are_current(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    (found,) = await take(driver, 1)
    for seq, token, actual in [(1, found.token + 1, found.token), (1, 0, found.token), (2, 5, 0), (2, 0, 0)]:
        refused = await refusal(driver, Ack(G, ((seq, token),)))
        assert refused == Refused(Reason.LEASE, G, 0, False, token, actual, seq)
    refused = await refusal(driver, Ack(GroupRef("s", "none"), ((1, 1),)))
    assert (refused.expected, refused.actual) == (1, 0)
    await do(driver, Nack(G, named([found]), 100))
    assert (await refusal(driver, Ack(G, ((1, 0),)))).reason is Reason.LEASE  # it waits, it is not dead
    assert (await refusal(driver, Ack(G, named([found])))).actual == 0


async def test_the_first_that_is_not_current_is_named(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    first, second, third = named(await take(driver))
    refused = await refusal(driver, Ack(G, (first, (second[0], 7), (third[0], 8))))
    assert (refused.seq, refused.expected, refused.actual) == (2, 7, second[1])


async def test_a_delivery_named_twice_is_changed_once(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    found = named(await take(driver))
    await do(driver, Nack(G, found + found, 0, spent=False))
    (again,) = await take(driver)
    assert again.delivery == 1
    await do(driver, Ack(G, named([again, again])))
    assert await state(driver) == (1, 0, 0)


async def test_extending_never_shortens_and_keeps_the_token(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    await do(driver, ExtendDeliveries(G, named(found), 5000))
    await do(driver, ExtendDeliveries(G, named(found), 10))
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.until) == (found[0].token, memory.instant + 5000)
    memory.instant += 4999
    assert await take(driver) == ()
    memory.instant += 1
    assert [each.delivery for each in await take(driver)] == [2]


async def test_a_nacked_delivery_comes_back_when_it_is_due(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    await do(driver, Nack(G, named(found), retry_in=700, error="no"))
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.error, image.until) == (0, "no", memory.instant + 700)
    memory.instant += 699
    assert await take(driver) == ()
    memory.instant += 1
    (again,) = await take(driver)
    assert again.delivery == 2


async def test_nack_without_retry_makes_it_dead(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None, error="poison"))
    assert await state(driver) == (1, 0, 1)
    memory.instant += 99 * LEASE
    assert await take(driver) == ()
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.dead, image.error) == (0, True, "poison")


async def test_the_last_delivery_that_is_nacked_makes_it_dead(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver, most=2)
    for expected in [(1, 1, 0), (1, 0, 1)]:
        await do(driver, Nack(G, named(await take(driver)), retry_in=0))
        assert await state(driver) == expected
    assert await take(driver) == ()


async def test_the_last_lease_that_runs_out_makes_it_dead(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver, most=2)
    await take(driver, 1)
    memory.instant += LEASE
    (found,) = await take(driver, 1)
    assert (found.event.seq, found.delivery) == (1, 2)
    memory.instant += LEASE
    assert seqs(await take(driver, 1)) == [2]  # the dead one does not count
    assert await state(driver) == (2, 1, 1)
    image = pending(memory, 1)
    assert image is not None
    assert (image.dead, image.token, image.error) == (True, 0, LEASE_EXPIRED)
    assert (await refusal(driver, Ack(G, named([found])))).actual == 0


async def test_an_unspent_delivery_does_not_count(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver, most=1)
    for _ in range(3):
        (found,) = await take(driver)
        assert found.delivery == 1
        await do(driver, Nack(G, named([found]), retry_in=0, spent=False))
        assert await state(driver) == (1, 1, 0)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None, spent=False))
    assert await state(driver) == (1, 0, 1)


async def test_token_0_discards_a_dead_delivery(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None))
    assert (await refusal(driver, Ack(G, ((1, 7),)))).actual == 0
    await do(driver, Ack(G, ((1, 0),)))
    assert await state(driver) == (1, 0, 0)
    assert (await refusal(driver, Ack(G, ((1, 0),)))).seq == 1


async def test_token_0_hands_a_dead_delivery_out_again(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver, most=1)
    await do(driver, Nack(G, named(await take(driver)), retry_in=0))
    assert await state(driver) == (1, 0, 1)
    await do(driver, Nack(G, ((1, 0),), retry_in=50))
    assert await state(driver) == (1, 1, 0)
    assert await take(driver) == ()
    memory.instant += 50
    (again,) = await take(driver)
    assert again.delivery == 1
    await do(driver, Nack(G, named([again]), retry_in=None))
    await do(driver, Nack(G, ((1, 0),), retry_in=None, error="still"))
    assert await state(driver) == (1, 0, 1)


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


# --- drop


async def test_a_dropped_stream_reads_as_none_and_continues_its_numbers(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    found = await take(driver, 1)
    assert await do(driver, DropStream(S)) == (True,)
    assert await do(driver, DropStream(S)) == (False,)
    assert (await driver.read([S, G])).results == [None, None]
    assert await follow(driver) == StreamPage((), 4, 3)
    assert (await driver.scan(Scan(kind="stream"))).items == []
    assert (await driver.scan(Scan(kind="stream", count=True))).total == 0
    assert (await driver.scan(Scan(kind="group", within="s"))).items == []
    stats = await driver.stats()
    assert (stats.streams, stats.groups) == ({}, {})
    assert (await refusal(driver, Ack(G, named(found)))).actual == 0
    await group(driver, position=None)
    assert await do(driver, Append(S, b"new")) == (4,)
    image = await stream(driver)
    assert image is not None
    assert (image.first, image.last, image.dropped) == (4, 4, False)
    assert [event.body for event in (await follow(driver)).events] == [b"new"]
    assert seqs(await take(driver)) == [4]


async def test_nothing_is_left_of_a_dropped_stream_but_its_head(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 3)
    await group(driver)
    await take(driver, 2)
    await do(driver, DropStream(S))
    assert sorted(memory.rows.items()) == [b"hive\0head", b"hive\0stream\0s"]


async def test_drop_of_no_stream_still_removes_its_groups(driver: MemoryDriver) -> None:
    await group(driver)
    assert await do(driver, DropStream(S)) == (False,)
    assert (await driver.read([G])).results == [None]


async def test_one_batch_drops_and_begins_anew(driver: MemoryDriver) -> None:
    """A lease is looked up in the pre-state; what is gone by then is left alone."""
    await append(driver, 2)
    await group(driver, G)
    await group(driver, H)
    found = named(await take(driver))
    ops = (DropStream(S), CreateGroup(H, None, 3), Append(S, b""))
    assert (await refusal(driver, *ops, Ack(G, found))).index == 3
    assert await do(driver, *ops) == (True, True, 3)
    assert (await driver.read([G])).results == [None]
    assert seqs(await take(driver, ref=H)) == [3]


async def test_a_delivery_that_the_batch_trimmed_is_not_current(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    found = named(await take(driver))
    refused = await refusal(driver, Trim(S, 3, force=True), Nack(G, found, None))
    assert (refused.reason, refused.index, refused.seq) == (Reason.LEASE, 1, 1)
    assert await do(driver, Trim(S, 3, force=True), Nack(G, found[2:], None)) == (Trimmed(2, 2, 3), None)
    assert await state(driver) == (3, 0, 1)


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


# --- any history

_steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "take", "ack", "nack", "dead", "revive", "trim", "force", "seek", "wait"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(_steps)
def test_whatever_happens_every_event_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    """Acked, pending, dead or not handed out: and the images, the stats and the index agree on it."""

    async def check() -> None:
        memory = Manual()
        driver = MemoryDriver(memory, "hive")
        await driver.open()
        await group(driver, most=2)
        current: dict[int, int] = {}
        for what, number in steps:
            await _step(driver, memory, current, what, number)
            _agree(memory, await driver.stats(), (await follow(driver, limit=10_000)), await state(driver))
        for seq, token in current.items():  # every token that was not taken away still counts
            found = pending(memory, seq)
            if found is not None and found.token == token:
                await do(driver, Ack(G, ((seq, token),)))

    asyncio.run(check())


async def _step(
    driver: MemoryDriver, memory: Manual, current: dict[int, int], what: str, number: int
) -> None:
    chosen = tuple(list(current.items())[:number])
    dead = tuple((seq, 0) for seq in range(1, 200) if (it := pending(memory, seq)) is not None and it.dead)
    ops: dict[str, Op] = {
        "ack": Ack(G, chosen),
        "nack": Nack(G, chosen, number, spent=bool(number % 2)),
        "dead": Nack(G, chosen, None),
        "revive": Nack(G, dead[:number], 0),
        "trim": Trim(S, number * 3),
        "force": Trim(S, number, force=True),
        "seek": Seek(G, number),
    }
    if what == "append":
        await append(driver, number)
    elif what == "wait":
        memory.instant += number * LEASE // 4
    elif what == "take":
        found = await take(driver, number + 1)
        assert seqs(found) == sorted(set(seqs(found)))
        current.update(named(found))
    else:
        (outcome,) = await commit(driver, Batch((ops[what],)))
        if isinstance(outcome, Refused):  # of those chosen, this one was lost to the clock, a trim or a seek
            assert current.pop(outcome.seq) == outcome.expected != outcome.actual
        elif what in ("ack", "nack", "dead"):
            for seq, _ in chosen:
                del current[seq]


def _agree(memory: Manual, stats: Any, page: StreamPage, counts: tuple[int, int, int]) -> None:
    position, alive, dead = counts
    there = [it for seq in range(1, page.last + 1) if (it := pending(memory, seq)) is not None]
    assert seqs(page.events) == list(range(page.first, page.last + 1))
    assert all(page.first <= it.ref.seq <= position for it in there)
    assert [sum(not it.dead for it in there), sum(it.dead for it in there)] == [alive, dead]
    index = [key for key in memory.rows.items() if key.startswith(b"hive\0redeliver\0")]
    assert len(index) == alive
    found = stats.groups["s", "g"]
    assert (found.position, found.pending, found.dead) == counts
    assert found.lag == sum(seq > position for seq in seqs(page.events))
    unfinished = [it.ref.seq for it in there] + [seq for seq in seqs(page.events) if seq > position]
    at = {event.seq: event.at for event in page.events}
    assert found.oldest_at == (at[min(unfinished)] if unfinished else None)
