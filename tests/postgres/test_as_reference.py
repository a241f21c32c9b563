"""Whatever is committed and claimed gives what the reference driver gives, under one clock.

Batches are made of every operation, so that trips go by sets, one by one, and mixed.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from msgspec import Struct
from msgspec.structs import asdict, replace

from hive_state_core import open_store
from hive_state_core.model import GroupRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import (
    KEEP_TTL,
    Ack,
    Append,
    Batch,
    Cancel,
    Check,
    ClaimedTasks,
    ClaimEvents,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Complete,
    CreatedIs,
    CreateGroup,
    Delete,
    DropGroup,
    DropStream,
    Enqueue,
    Extend,
    ExtendDeliveries,
    Fail,
    LeaseIs,
    Nack,
    Op,
    Put,
    Redrive,
    Refused,
    Release,
    Scan,
    Seek,
    StreamRead,
    Touch,
    Trim,
    VersionIs,
)
from hive_state_core.trips import conflict_keys
from hive_state_core.url import parse_url
from hive_state_memory.driver import Memory, MemoryDriver

SEEDS = int(os.environ.get("HIVE_STATE_SEEDS", "6"))
STREAMS = [StreamRef("s"), StreamRef("t")]
GROUPS = [GroupRef(ref.stream, name) for ref in STREAMS for name in ("g", "h")]
RECORDS = [RecordRef("c", key) for key in "abcd"]
TASKS = [TaskRef(f"t{n}") for n in range(12)]
LEASE = 1000
START = 1_000_000
CURRENT, WRONG = 1, 2
"""In place of versions and tokens, which differ: those that the driver gave last."""
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
        self.leases: dict[TaskRef, int] = {}
        self.deliveries: dict[tuple[GroupRef, int], int] = {}

    async def claim(self, requests: Sequence[ClaimRequest]) -> list[Any]:
        found = (await self.driver.claim(requests, f"t{next(_trips)}")).results
        for request, claimed in zip(requests, found, strict=True):
            if isinstance(claimed, ClaimedTasks):
                for task in claimed.tasks:
                    self.leases.pop(task.ref, None)
                    self.leases[task.ref] = task.token
            else:
                for each in claimed.deliveries:
                    self.deliveries.pop((request.ref, each.event.seq), None)
                    self.deliveries[request.ref, each.event.seq] = each.token
        return list(found)

    async def commit(self, batches: Sequence[Batch]) -> list[Any]:
        records = dict(zip(RECORDS, (await self.driver.read(RECORDS)).results, strict=True))
        own = [
            replace(
                batch,
                ops=tuple([self._own(op) for op in batch.ops]),
                checks=tuple([self._own_check(check, records) for check in batch.checks]),
            )
            for batch in batches
        ]
        return list((await self.driver.commit(own, f"t{next(_trips)}")).results)

    def _own(self, op: Any) -> Op:
        if isinstance(op, Ack | Nack | ExtendDeliveries):
            named = [
                (seq, self.deliveries.get((op.ref, seq), 77) if which == CURRENT else which)
                for seq, which in op.deliveries
            ]
            return replace(op, deliveries=tuple(named))
        if getattr(op, "token", 0) == CURRENT:
            return replace(op, token=self.leases.get(op.ref, 77))
        return op  # type: ignore[no-any-return]

    def _own_check(self, check: Any, records: dict[Any, Any]) -> Check:
        if isinstance(check, LeaseIs):
            return replace(check, token=self.leases.get(check.ref, 77)) if check.token == CURRENT else check
        image = records[check.ref]
        if check.version != CURRENT or image is None:
            return check  # type: ignore[no-any-return]
        return replace(
            check, version=image.created_version if isinstance(check, CreatedIs) else image.version
        )

    async def state(self) -> list[Any]:
        images = (await self.driver.read([*RECORDS, *STREAMS, *TASKS, *GROUPS])).results
        pages = [
            (await self.driver.scan(query)).items
            for query in [
                Scan(kind="stream"),
                *(Scan(kind="group", within=ref.stream, reverse=True) for ref in STREAMS),
                *(Scan(kind="pending", within=ref.stream, group=ref.group) for ref in GROUPS),
            ]
        ]
        reads = [
            StreamRead(ref, start, 5, back) for ref in STREAMS for start, back in ((1, False), (9, True))
        ]
        events = (await self.driver.stream(reads)).results
        stats = await self.driver.stats()
        return [images, pages, events, stats.streams, stats.groups, stats.queues]


def told(found: Any) -> Any:
    """Without what may differ: versions and tokens, except whether there is one."""
    match found:
        case Committed():
            return ("committed", found.version > 0, found.at, found.results)
        case Refused():
            return (found.reason, found.ref, found.index, found.in_check, found.seq, found.actual > 0)
        case Struct():
            fields = asdict(found)
            differ = {"version", "token", "order", "created_version"} & fields.keys()
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
    """Trips at random, some refused. `leases` and `deliveries`: what was handed out, the newest last."""

    leases: list[TaskRef]
    deliveries: list[tuple[GroupRef, int]]

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.flat = seed % 2 > 0  # half of the runs go by sets alone

    def look(self, side: Side) -> None:
        self.leases, self.deliveries = list(side.leases), list(side.deliveries)

    def token(self) -> int:
        return self.choices((CURRENT, WRONG, 0), (20, 1, 1))[0]

    def delivery(self) -> tuple[GroupRef, tuple[tuple[int, int], ...]]:
        """Mostly what is pending, under the token that was given; often enough what is dead."""
        group = self.choice(self.deliveries[-6:])[0] if self.deliveries else self.choice(GROUPS)
        seqs = [seq for ref, seq in self.deliveries[-6:] if ref == group] or [1]
        several = self.choices(seqs, k=self.choice((1, 1, 1, 2)))
        return group, tuple([(seq, self.choices((CURRENT, 0, WRONG), (20, 3, 1))[0]) for seq in several])

    def enqueue(self) -> Enqueue:
        parents = () if self.flat else self.choice([(), (), (), (self.choice(TASKS).id,)])
        key = None if self.flat else self.choice((None, None, None, "d"))
        delay, attempts = self.choice((0, 0, 300)), self.choice((1, 2))
        return Enqueue(
            self.choice(TASKS),
            "q",
            b"1",
            False,
            self.choice((1, 5)),
            delay,
            attempts,
            key,
            depends_on=parents,
        )

    def op(self) -> Op:
        stream, group, record = self.choice(STREAMS), self.choice(GROUPS), self.choice(RECORDS)
        lease = self.choice(self.leases[-3:] or TASKS)
        delivered, named = self.delivery()
        error, spent, ttl = self.choice((None, "no")), self.random() < 0.7, self.choice((None, 500, KEEP_TTL))
        ops: dict[Op, float] = {
            Append(stream, b"%d" % self.randrange(100), self.random() < 0.5): 8,
            Ack(delivered, named): 5,
            Nack(delivered, named, self.choice((None, 0, 300)), error, spent): 2.5,
            ExtendDeliveries(delivered, named, self.choice((10, 2000))): 1,
            CreateGroup(group, self.choice((None, 0, 0, 0, 3)), self.choice((1, 2, 3))): 2.5,
            Trim(stream, self.randint(1, 12), self.random() < 0.5): 1,
            Seek(group, self.randint(0, 12)): 0.3,
            DropGroup(group): 0.1,
            DropStream(stream): 0.1,
            Put(record, b"%d" % self.randrange(9), ttl=ttl): 8,
            Delete(record): 1,
            Touch(record, 500): 1,
            self.enqueue(): 8,
            Complete(lease, self.token(), self.choice((None, b"1"))): 6,
            Fail(lease, self.token(), "bad", self.choice((None, 0, 300))): 1,
            Release(lease, self.token()): 0.5,
            Extend(lease, self.token(), 2000): 0.5,
            Cancel(self.choice(TASKS)): 0.5,
            Redrive(self.choice(TASKS)): 2,
        }
        if self.flat:
            ops = {op: weight for op, weight in ops.items() if weight >= 3}
        return self.choices(list(ops), list(ops.values()))[0]

    def check(self) -> Check:
        record = self.choice(RECORDS)
        checks = [
            VersionIs(record, self.choice((CURRENT, CURRENT, WRONG, 0))),
            CreatedIs(record, CURRENT),
            LeaseIs(self.choice(self.leases[-3:] or TASKS), self.token()),
        ]
        return self.choice(checks)

    def batch(self) -> Batch:
        ops: dict[Any, Op] = {}
        for n in range(self.choice((1, 1, 1, 2, 3, 4))):
            op = self.op()
            ops.setdefault((op.ref, n if isinstance(op, Append) else None), op)
        checks = {check.ref: check for check in [self.check() for _ in range(self.choice((0, 0, 0, 1, 2)))]}
        return Batch(tuple(ops.values()), tuple(checks.values()))

    def trip(self) -> list[Batch]:
        batches: list[Batch] = []
        taken: set[Any] = set()
        looked_at: set[Any] = set()
        for _ in range(self.choice((1, 1, 2, 5))):
            batch = self.batch()
            keys, shared = map(set, conflict_keys(batch))
            if not keys & (taken | looked_at) and not shared & taken:
                batches.append(batch)
                taken |= keys
                looked_at |= shared
        return batches

    def claims(self) -> list[ClaimRequest]:
        requests: list[ClaimRequest] = []
        for _ in range(self.choice((1, 2, 3))):
            worker, lease, limit = self.choice("xyz"), self.choice((300, LEASE)), self.randint(1, 4)
            requests.append(ClaimEvents(self.choice(GROUPS), worker, lease, limit))
            if self.random() < 0.5:
                requests.append(ClaimTasks("q", worker, lease, limit))
        return requests


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_as_the_reference(sides: tuple[Any, list[Side]], seed: int) -> None:
    set_clocks, both = sides
    dice = Dice(seed)
    at = START
    if dice.flat:
        groups = Batch(tuple([CreateGroup(group, 0, 2) for group in GROUPS]))
        assert told(await both[0].commit([groups])) == told(await both[1].commit([groups]))
    for _ in range(120):
        dice.look(both[0])
        match dice.randrange(8):
            case 0:
                at += dice.choice((1, 299, LEASE))
                await set_clocks(at)
            case 1 | 2:
                requests = dice.claims()
                one, other = [told(await side.claim(requests)) for side in both]
                assert one == other, requests
            case _:
                batches = dice.trip()
                one, other = [told(await side.commit(batches)) for side in both]
                assert one == other, batches
        one, other = [told(await side.state()) for side in both]
        assert one == other
