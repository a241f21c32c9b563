"""Streams and groups: whatever is done to them gives what the reference driver gives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec
import pytest

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
    Committed,
    CreateGroup,
    DropGroup,
    DropStream,
    Enqueue,
    ExtendDeliveries,
    Nack,
    Op,
    Put,
    Refused,
    Scan,
    Seek,
    StreamRead,
    Trim,
    Trimmed,
    VersionIs,
)
from hive_state_core.trips import conflict_keys
from hive_state_core.url import parse_url
from hive_state_memory.driver import Memory, MemoryDriver

STREAMS = [StreamRef("s"), StreamRef("t")]
GROUPS = [GroupRef(ref.stream, name) for ref in STREAMS for name in ("g", "h")]
LEASE = 1000
START = 1_000_000
_trips = count()


class Manual(Memory):
    """A memory whose clock the test sets."""

    instant = START

    def clock(self) -> int:  # type: ignore[override]
        return self.instant


class Side:
    """One of the two drivers, and the tokens that it has given last."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.tokens: dict[tuple[GroupRef, int], int] = {}

    async def claim(self, requests: Sequence[ClaimEvents]) -> list[Any]:
        found = (await self.driver.claim(requests, f"t{next(_trips)}")).results
        for request, claimed in zip(requests, found, strict=True):
            for each in claimed.deliveries:
                self.tokens.pop((request.ref, each.event.seq), None)
                self.tokens[request.ref, each.event.seq] = each.token
        return list(found)

    async def commit(self, batches: Sequence[Batch]) -> list[Any]:
        own = [msgspec.structs.replace(batch, ops=tuple(map(self._own, batch.ops))) for batch in batches]
        return list((await self.driver.commit(own, f"t{next(_trips)}")).results)

    def _own(self, op: Op) -> Op:
        """In batches, 1 stands for the last token that was given, 2 for a wrong one."""
        if not isinstance(op, Ack | Nack | ExtendDeliveries):
            return op
        tokens = [
            (seq, self.tokens.get((op.ref, seq), 77) if which == 1 else which and 5)
            for seq, which in op.deliveries
        ]
        return msgspec.structs.replace(op, deliveries=tuple(tokens))

    async def state(self) -> list[Any]:
        read = (await self.driver.read([*STREAMS, *GROUPS])).results
        pages = [
            (await self.driver.scan(query)).items
            for query in [
                Scan(kind="stream"),
                Scan(kind="stream", count=True),
                *(Scan(kind="group", within=ref.stream, reverse=True) for ref in STREAMS),
                *(Scan(kind="pending", within=ref.stream, group=ref.group) for ref in GROUPS),
            ]
        ]
        reads = [
            StreamRead(ref, start, 5, back) for ref in STREAMS for start, back in ((1, False), (9, True))
        ]
        events = (await self.driver.stream(reads)).results
        stats = await self.driver.stats()
        return [read, pages, events, stats.streams, stats.groups]


def told(found: Any) -> Any:
    """Without what may differ: versions and tokens, except whether there is one."""
    match found:
        case Committed():
            return ("committed", found.version > 0, found.at, found.results)
        case Refused():
            return (found.reason, found.ref, found.index, found.in_check, found.seq, found.actual > 0)
        case msgspec.Struct():
            fields = msgspec.structs.asdict(found)
            differ = {"version", "token"} & fields.keys()
            return {name: told(value) for name, value in fields.items()} | dict.fromkeys(differ)
        case list() | tuple():
            return [told(each) for each in found]
        case dict():
            return {key: told(value) for key, value in found.items()}
    return found


@pytest.fixture
async def sides(url: str) -> AsyncIterator[tuple[Any, list[Side]]]:
    """A function that sets both clocks, and the reference beside the driver under test."""
    schema = parse_url(url).options["schema"]
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(
        f"CREATE TABLE {schema}.hand (at bigint); INSERT INTO {schema}.hand VALUES ({START});"
        f"CREATE OR REPLACE FUNCTION {schema}.instant(p_ns int, p_floor bigint) RETURNS bigint"
        f" LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT at FROM {schema}.hand); END $$"
    )
    memory = Manual()
    reference = MemoryDriver(memory, "hive")
    await reference.open()

    async def set_clocks(at: int) -> None:
        memory.instant = at
        await db.execute(f"UPDATE {schema}.hand SET at = $1", at)

    async with open_store(url) as hive:
        yield set_clocks, [Side(reference), Side(hive._driver)]
    await reference.close()
    await db.close()


class Dice(random.Random):
    """Batches and claims at random, some of them refused. `known`: what was delivered, the newest last."""

    known: list[tuple[GroupRef, int]]

    def named(self, group: GroupRef) -> tuple[tuple[int, int], ...]:
        """Mostly what is pending, under the token that was given."""
        seqs = [seq for ref, seq in self.known[-12:] if ref == group] or [1]
        several = self.choices(seqs, k=self.choice((1, 1, 1, 2)))
        return tuple([(seq, self.choices((1, 0, 2), (20, 3, 1))[0]) for seq in several])

    def op(self) -> Op:
        stream, group = self.choice(STREAMS), self.choice(GROUPS)
        delivered = self.choice(self.known[-12:])[0] if self.known else group
        named = self.named(delivered)
        error, spent = self.choice((None, "no")), self.random() < 0.7
        ops: dict[Op, float] = {
            Append(stream, b"%d" % self.randrange(100), self.random() < 0.5): 8,
            Ack(delivered, named): 5,
            Nack(delivered, named, self.choice((None, 0, 300)), error, spent): 5,
            ExtendDeliveries(delivered, named, self.choice((10, 2000))): 2,
            CreateGroup(group, self.choice((None, 0, 0, 0, 3)), self.choice((1, 2, 3))): 3,
            Trim(stream, self.randint(1, 12), self.random() < 0.5): 2,
            Put(RecordRef("c", self.choice("abcd")), b"1"): 2,
            Enqueue(TaskRef(f"t{self.randrange(1000)}"), "q", b"1"): 2,
            Seek(group, self.randint(0, 12)): 0.5,
            DropGroup(group): 0.2,
            DropStream(stream): 0.2,
        }
        return self.choices(list(ops), list(ops.values()))[0]

    def batch(self) -> Batch:
        ops: dict[Any, Op] = {}
        for n in range(self.choice((1, 1, 1, 2, 3))):
            op = self.op()
            ops.setdefault((op.ref, n if isinstance(op, Append) else None), op)
        checks = (VersionIs(RecordRef("c", "none"), 9),) if self.random() < 0.05 else ()
        return Batch(tuple(ops.values()), checks)

    def trip(self) -> list[Batch]:
        batches: list[Batch] = []
        taken: set[Any] = set()
        looked_at: set[Any] = set()
        for _ in range(self.choice((1, 1, 2, 4))):
            batch = self.batch()
            keys, shared = map(set, conflict_keys(batch))
            if not keys & (taken | looked_at) and not shared & taken:
                batches.append(batch)
                taken |= keys
                looked_at |= shared
        return batches

    def claims(self) -> list[ClaimEvents]:
        return [
            ClaimEvents(
                self.choice(GROUPS), self.choice("xyz"), self.choice((300, LEASE)), self.randint(1, 4)
            )
            for _ in range(self.choice((1, 2, 3)))
        ]


@pytest.mark.parametrize("seed", range(4))
async def test_as_the_reference(sides: tuple[Any, list[Side]], seed: int) -> None:
    set_clocks, both = sides
    dice = Dice(seed)
    at = START
    for _ in range(150):
        dice.known = list(both[0].tokens)
        match dice.randrange(8):
            case 0:
                at += dice.choice((1, 299, LEASE))
                await set_clocks(at)
            case 1 | 2 | 3:
                requests = dice.claims()
                one, other = [told(await side.claim(requests)) for side in both]
                assert one == other, requests
            case _:
                batches = dice.trip()
                one, other = [told(await side.commit(batches)) for side in both]
                assert one == other, batches
        one, other = [told(await side.state()) for side in both]
        assert one == other


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
        waits = [
            asyncio.create_task(each.wait(frozenset(STREAMS), 10_000)) for each in (one._driver, two._driver)
        ]
        await asyncio.sleep(0.3)  # the second one listens
        await one._driver.commit(appends(1), f"t{next(_trips)}")
        assert set(await asyncio.gather(*waits)) == {frozenset(STREAMS[:1])}
