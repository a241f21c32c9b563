"""What is asked for ahead: nobody waits for it, it counts as nobody's read, and nothing depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from hive_state_core.caching import Asked
from hive_state_core.errors import Unavailable
from hive_state_core.features import Consistency
from hive_state_core.model import RecordRef
from hive_state_core.spi import MISSED, Batch, Put, ReadRef, Reply, ScanImage, VersionIs
from hive_state_hybrid import ahead
from hive_state_hybrid.ahead import AT_ONCE, EARLY, MANY, STEP
from hive_state_hybrid.worth import IN_VAIN
from hive_state_memory.caching import Held, MemoryCache

from .sides import REF, Hive, Side, hive_of

pytestmark = pytest.mark.prompt

OTHERS = [RecordRef("c", f"other-{number}") for number in range(MANY)]


class Counting(MemoryCache):
    """How many records it was asked for, by whomever."""

    def __init__(self, held: dict[str, Held]) -> None:
        super().__init__(held)
        self.asked = 0

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> Asked:
        self.asked += len(refs)
        return await super().ask(refs, lease, gated)


@pytest.fixture
async def hive() -> AsyncIterator[Hive]:
    held: dict[str, Held] = {}
    async with hive_of(Consistency.BOUNDED, lambda: Counting(held)) as hive:
        await hive.two.beat()
        yield hive


def asked(side: Side) -> int:
    cache = side.door.cache
    assert isinstance(cache, Counting)
    return cache.asked


def at_hand(side: Side, refs: Sequence[RecordRef]) -> int:
    return sum(side.front.near.ends(ref) > asyncio.get_running_loop().time() for ref in refs)


async def read_until_it_ends(side: Side, times: int) -> None:
    """For so many times as long as it is at hand, with beats."""
    for number in range(times * 16):
        await asyncio.sleep(side.driver._options.near_span / 16)
        await side.read()
        if number % 4 == 0:
            await side.beat()


async def write_many(side: Side, refs: Sequence[RecordRef]) -> None:
    await side.trips.commit(Batch(tuple(Put(ref, b"1") for ref in refs)))


async def test_who_reads_again_and_again_waits_once(hive: Hive) -> None:
    one, two = hive.one, hive.two
    await two.read()
    before = two.driver.counts()
    await read_until_it_ends(two, 4)
    asked_for, hits = (now - then for now, then in zip(two.driver.counts(), before, strict=True))
    assert asked_for == hits == 64, "each counts once, and was at hand"
    assert (two.front.hits, two.front.misses) == (0, 1)
    assert 3 < asked(two) < 8
    await one.write(b"2")
    await asyncio.sleep(hive.bound)
    assert await two.read() == b"2"


async def test_what_nobody_reads_any_more_is_not_asked_for(hive: Hive) -> None:
    two = hive.two
    await two.read()
    await two.read()
    await asyncio.sleep(10 * hive.bound)
    assert asked(two) == 2
    assert two.driver._ahead._task is None
    assert not at_hand(two, [REF])


async def test_an_own_write_that_is_read_fills_the_cache(hive: Hive) -> None:
    """Who wrote it has it at hand, while its place in the cache is empty."""
    two, new = hive.two, RecordRef("c", "new")
    await two.trips.commit(Batch((Put(new, b"1"),), (VersionIs(new, 0),)))
    await two.trips.read((new,))
    for _ in range(2):
        await asyncio.sleep(hive.bound / 2 - STEP)
        await two.beat()
    await two.settled()
    found = await hive.three.front.ask([new], "three")
    assert found is not None
    assert not found.leased
    assert two.front.misses == 0


async def test_what_is_written_meanwhile_is_not_asked_for(hive: Hive) -> None:
    two = hive.two
    before = await two.look()
    await two.read()
    await asyncio.sleep(hive.bound / 2)
    await two.swap(before, b"2")
    await asyncio.sleep(hive.bound / 2 - EARLY * STEP + 2 * STEP)
    assert asked(two) == 0


async def test_the_others_of_a_batch_come_along(hive: Hive) -> None:
    two = hive.two
    await write_many(two, OTHERS)
    await two.settled()
    await two.trips.read((OTHERS[0],))
    await asyncio.sleep(2 * STEP)
    assert at_hand(two, OTHERS) == MANY
    assert asked(two) == MANY
    assert (two.front.hits, two.front.misses) == (0, 1)
    await two.trips.read((OTHERS[1],))
    assert two.front.misses == 1


async def test_of_few_each_is_read_by_itself(hive: Hive) -> None:
    two = hive.two
    await write_many(two, OTHERS[1:])
    await two.trips.read((OTHERS[1],))
    await asyncio.sleep(2 * STEP)
    assert at_hand(two, OTHERS) == 1


async def test_who_passes_the_cache_by_asks_nobody(hive: Hive) -> None:
    two = hive.two
    await write_many(two, OTHERS)
    two.front.worth.count(0, IN_VAIN, 0)
    await two.trips.read((OTHERS[0],))
    before = asked(two)
    await asyncio.sleep(2 * STEP)
    assert asked(two) == before
    assert at_hand(two, OTHERS) == 1


async def test_a_cache_that_is_cut_off_costs_nothing(hive: Hive) -> None:
    two = hive.two
    await write_many(two, OTHERS)
    await two.trips.read((OTHERS[0],))
    two.door.cut = True
    await asyncio.sleep(2 * STEP)
    assert at_hand(two, OTHERS) == 1
    assert two.driver._ahead._task is None


@pytest.mark.parametrize("fails", [True, False], ids=["it fails", "the hive has moved"])
async def test_what_the_durable_store_says_may_not_count(
    hive: Hive, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = hive.two
    await write_many(two, OTHERS)
    await two.trips.read((OTHERS[0],))
    durable = two.driver._durable
    read = durable.read

    async def instead(refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        if fails:
            raise Unavailable("by the test")
        reply = await read(refs, fresh)
        return replace(reply, epoch=reply.epoch + 1)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "read", instead)
        await asyncio.sleep(2 * STEP)
    assert at_hand(two, OTHERS) == 1
    await two.trips.read((OTHERS[1],))
    assert at_hand(two, OTHERS) == 2


async def test_what_is_noted_is_bounded(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    two = hive.two
    monkeypatch.setattr(ahead, "MOST", MANY + 2)
    some, others = ([RecordRef("c", f"{name}-{n}") for n in range(MANY)] for name in "ab")
    await write_many(two, some)
    await write_many(two, others)
    await two.trips.read((some[0],))  # there was no room for its batch
    await two.trips.read((others[0],))
    monkeypatch.setattr(ahead, "MOST", 5)
    await asyncio.sleep(2 * STEP)
    assert at_hand(two, some) == 1
    assert at_hand(two, others) == MANY
    for ref in others:
        two.driver._ahead.read(ref, 0.0)
    assert sum(map(len, two.driver._ahead._due.values())) == 5


async def test_many_go_in_several_trips(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    two = hive.two
    trips: list[int] = []

    async def counted(refs: Sequence[RecordRef]) -> None:
        trips.append(len(refs))

    monkeypatch.setattr(two.driver._ahead, "_ask", counted)
    for number in range(AT_ONCE + 1):
        two.driver._ahead.read(RecordRef("c", str(number)), 0.0)
    await asyncio.sleep(2 * STEP)
    assert trips == [AT_ONCE, 1]


async def test_an_answer_from_before_the_beat_that_ends_a_doubt_is_not_told(hive: Hive) -> None:
    """What is asked ahead may be answered after what a reader asked later."""
    one, two = hive.one, hive.two
    await two.read()
    await two.settled()
    await one.write_cut_off(b"2")
    await one.front.ping()
    opened, one.door.may_hear = one.door.may_hear, asyncio.Event()
    held = one.door.may_hear
    late = asyncio.create_task(one.front.ask([REF], "late"))
    await asyncio.sleep(0.01)
    one.door.may_hear = opened
    assert await one.front.ask([REF], "next") is not None
    await asyncio.sleep(0.01)
    assert await two.beat()
    assert await one.front.ask([REF], "last") is not None
    assert one.front._trusted == one.front._doubts == 1
    held.set()
    heard = await late
    assert heard is not None
    assert heard.found == [MISSED]


async def test_it_ends_with_its_store() -> None:
    held: dict[str, Held] = {}
    async with hive_of(Consistency.BOUNDED, lambda: Counting(held)) as hive:
        hive.one.driver._ahead.read(REF, 1e9)
        task = hive.one.driver._ahead._task
        assert task is not None
    assert task.cancelled()
