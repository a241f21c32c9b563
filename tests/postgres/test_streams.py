"""Streams and groups on PostgreSQL: outcomes, sizes, numbers without a gap."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from hive_state_core import Store, open_store, outcomes
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    ClaimTasks,
    CreateGroup,
    DropStream,
    Enqueue,
    Put,
    StreamRead,
    Trim,
    Trimmed,
)
from hive_state_core.url import parse_url

STREAMS = [StreamRef("s"), StreamRef("t")]
GROUPS = [GroupRef(ref.stream, name) for ref in STREAMS for name in ("g", "h")]
_trips = count()


def appends(number: int, ref: StreamRef = STREAMS[0], body: bytes = b"1") -> list[Batch]:
    return [Batch((Append(ref, body),)) for _ in range(number)]


async def test_an_outcome_is_the_reply_again(hive: Store) -> None:
    driver, (group, other) = hive._driver, GROUPS[:2]
    record = Put(RecordRef("c", "k"), b"1")
    plain = [
        *appends(2),
        *appends(1, STREAMS[1]),
        Batch((record,)),
        Batch((Enqueue(TaskRef("t"), "q", b"1"),)),
    ]
    compound = [
        Batch((CreateGroup(group, 0, 3), CreateGroup(other, 1, 3), Append(STREAMS[0], b"4"))),
        Batch((Trim(STREAMS[1], 2), record)),
        Batch((Ack(GROUPS[2], ((1, 5),)),)),
        *appends(2),
    ]
    for batches in (plain, compound):
        reply = await driver.commit(batches, trip := f"t{next(_trips)}")
        assert await driver.outcome(trip) == reply
    requests = [
        ClaimEvents(group, "x", 60_000, 2),
        ClaimTasks("q", "w", 60_000),
        ClaimEvents(group, "y", 60_000, 9),
    ]
    claimed = await driver.claim([*requests, ClaimEvents(GROUPS[3], "x", 60_000)], "claim")
    assert await driver.outcome("claim") == claimed
    first, _, last, missing = claimed.results
    assert [[each.event.seq for each in found.deliveries] for found in (first, last)] == [[1, 2], [3, 4, 5]]
    assert missing == ClaimedEvents((), missing=True)
    await driver.commit([Batch((Ack(group, ((2, first.deliveries[1].token),)),))], "ack")
    again = await driver.outcome("claim")
    assert [each.event.seq for each in again.results[0].deliveries] == [1]
    assert again.results[1:] == claimed.results[1:]


async def test_a_remembered_commit_has_its_results_again(hive: Store) -> None:
    ops = (
        Append(STREAMS[0], b"1"),
        Trim(STREAMS[0], 2),
        CreateGroup(GROUPS[0], None, 3),
        DropStream(STREAMS[1]),
    )
    batch = Batch(ops, commit_id="once", fingerprint=b"f")
    (first,) = (await hive._driver.commit([batch], "a")).results
    assert first.results == (1, Trimmed(1, 0, 2), True, False)
    assert [type(result) for result in first.results] == [int, Trimmed, bool, bool]
    assert (await hive._driver.commit([batch, *appends(1)], "b")).results[0] == first
    assert outcomes.load(outcomes.dump(first)) == first


async def test_numbers_are_gapless_whoever_appends(url: str) -> None:
    """Also those of a stream that many make at once."""
    stores = [open_store(url) for _ in range(4)]
    async with stores[0] as one, stores[1] as two, stores[2] as three, stores[3] as four:
        drivers = [store._driver for store in (one, two, three, four)]

        async def append(driver: Any, round: int) -> list[int]:
            ref = StreamRef(f"s{round}")
            compound = Batch(
                (Put(RecordRef("c", f"{id(driver)}"), b"1"), Append(ref, b"2"), Append(ref, b"3"))
            )
            batches = [*appends(3, ref), compound] if round % 2 else appends(5, ref)
            replies = [await driver.commit(batches, f"t{next(_trips)}") for _ in range(3)]
            return [
                seq
                for reply in replies
                for outcome in reply.results
                for seq in outcome.results
                if seq is not None
            ]

        for round in range(6):
            found = await asyncio.gather(*(append(driver, round) for driver in drivers))
            assert sorted(seq for seqs in found for seq in seqs) == list(range(1, 61))
            assert all(seqs == sorted(seqs) for seqs in found)


async def test_replies_end_early_by_size(hive: Store) -> None:
    driver, body = hive._driver, bytes(REPLY_BYTES // 2)
    for _ in range(4):
        await driver.commit(appends(1, body=body), f"t{next(_trips)}")
    await driver.commit([Batch((CreateGroup(ref, 0, 3),)) for ref in GROUPS[:2]], f"t{next(_trips)}")
    reads = [StreamRead(STREAMS[0], 1, 10), StreamRead(STREAMS[0], 4, 10, reverse=True)]
    forward, backward = (await driver.stream(reads)).results
    assert [event.seq for event in forward.events] == [1, 2, 3]
    assert [event.seq for event in backward.events] == [4]
    requests = [ClaimEvents(ref, "x", 60_000, 10) for ref in GROUPS[:2]]
    found, nothing = (await driver.claim(requests, f"t{next(_trips)}")).results
    assert [each.event.seq for each in found.deliveries] == [1, 2, 3]
    assert nothing == ClaimedEvents((), next_due_in=0)
    assert found.next_due_in == 0


async def test_a_claim_of_nothing_writes_nothing(hive: Store, url: str) -> None:
    await hive._driver.commit([Batch((CreateGroup(GROUPS[0], 0, 3),))], f"t{next(_trips)}")
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    state = f"SELECT xmin::text, xmax::text, ctid::text FROM {schema}.groups"
    before = await db.fetch(state)
    for ref in GROUPS:
        await hive._driver.claim([ClaimEvents(ref, "x", 1000)], f"t{next(_trips)}")
    assert await db.fetch(state) == before
    await db.close()


async def test_a_wait_on_a_stream_is_woken(url: str) -> None:
    async with open_store(url) as one, open_store(url) as two:
        drivers = (one._driver, two._driver)
        await asyncio.gather(*[each.wait(frozenset(STREAMS), 10_000) for each in drivers])  # they listen now
        waits = [asyncio.create_task(each.wait(frozenset(STREAMS), 10_000)) for each in drivers]
        await asyncio.sleep(0)  # they wait
        await one._driver.commit(appends(1), f"t{next(_trips)}")
        assert set(await asyncio.gather(*waits)) == {frozenset(STREAMS[:1])}


async def test_a_stream_that_is_made_while_a_trip_is_under_way(hive: Store, url: str) -> None:
    """The trip found no head to lock, and had its version already."""
    driver, schema = hive._driver, parse_url(url).options["schema"]
    slow = Put(RecordRef("c", "slow"), b"1")
    late = [
        [Batch((slow, Append(StreamRef("s"), b"late")))],
        [Batch((slow, Append(StreamRef("t"), b"late"))), Batch((Trim(StreamRef("u"), 1),))],
    ]
    admin = await asyncpg.connect(url.partition("?")[0])
    await admin.execute(
        f"CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;"
        f"CREATE TRIGGER is_slow BEFORE INSERT OR UPDATE ON {schema}.records"
        f" FOR EACH ROW EXECUTE FUNCTION {schema}.slow()"
    )
    for ref, batches in zip((StreamRef("s"), StreamRef("t")), late, strict=True):
        await admin.execute("SELECT pg_advisory_lock(42)")
        trip = asyncio.create_task(driver.commit(batches, f"t{next(_trips)}"))
        while not await admin.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0.01)
        await driver.commit(appends(1, ref), f"t{next(_trips)}")
        await admin.execute("SELECT pg_advisory_unlock(42)")
        await trip
        (page,) = (await driver.stream([StreamRead(ref, 1, 10)])).results
        assert [event.body for event in page.events] == [b"1", b"late"]
        versions = [event.version for event in page.events]
        assert versions == sorted(versions)
    await admin.close()
