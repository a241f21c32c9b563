"""Streams of the KVDriver, at SPI level."""

from __future__ import annotations

import pytest

from hive_state_core.features import Facility
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EventImage, GroupRef, RecordRef, StreamImage, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    Committed,
    Complete,
    CreateGroup,
    DropStream,
    Enqueue,
    Enqueued,
    Nack,
    Put,
    Reason,
    Refused,
    Scan,
    Seek,
    StreamPage,
    StreamRead,
    Trim,
    Trimmed,
)
from hive_state_memory.driver import MemoryDriver

from .driving import Manual, commit, do
from .streaming import G, H, Meddled, S, append, follow, group, named, refusal, seqs, state, stream, take

pytestmark = pytest.mark.prompt


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
