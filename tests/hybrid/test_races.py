"""Readers and writers that are paused, killed or cut off where it hurts, and a server that is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from hive_state_core.caching import Entry
from hive_state_core.errors import Unavailable
from hive_state_core.features import Consistency
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import (
    MISSED,
    Batch,
    ControlState,
    Delete,
    Outcome,
    Put,
    Reply,
    Scan,
    VersionIs,
)
from hive_state_core.trips import Trips
from hive_state_core.url import parse_url
from hive_state_hybrid.driver import HybridDriver
from hive_state_hybrid.near import Near
from hive_state_hybrid.seen import Seen
from hive_state_hybrid.told import Told
from hive_state_hybrid.worth import IN_VAIN, ROUND, THROUGH, WINDOW, Worth
from hive_state_memory.caching import Held, MemoryCache
from hive_state_memory.driver import MemoryDriver, memory_of
from tests.virtual_time import now

from .sides import forget, options_of

pytestmark = pytest.mark.prompt

REF = RecordRef("c", "k")
BEAT = 1.0
"""Seconds."""


class Cache(MemoryCache):
    """As another process has it: it may be cut off, and its pushes may be held back."""

    def __init__(self, held: dict[str, Held]) -> None:
        super().__init__(held)
        self.cut = False
        self.may_push = asyncio.Event()
        self.may_push.set()
        self.pushed: list[RecordRef] = []

    async def push(self, entries: Sequence[Entry]) -> None:
        await self.may_push.wait()
        self._reachable()
        await super().push(entries)
        self.pushed += [entry.ref for entry in entries]

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> object:  # type: ignore[override]
        self._reachable()
        return await super().ask(refs, lease, gated)

    async def lead(self, name: str, ms: int) -> bool:
        self._reachable()
        return True

    async def now(self) -> int:
        self._reachable()
        return await super().now()

    def _reachable(self) -> None:
        if self.cut:
            raise Unavailable("cut off, by the test")


class Side:
    """A process: its cache, its driver, and what its callers do."""

    def __init__(self, durable: MemoryDriver, held: dict[str, Held], level: Consistency) -> None:
        self.cache = Cache(held)
        options = options_of(level, BEAT, 0.05)
        self.driver = HybridDriver(durable, self.cache, options)
        self.trips = Trips(self.driver)

    async def open(self) -> None:
        await self.driver.open()
        await self.driver._relay.stop()
        self.trips.open()

    async def close(self) -> None:
        self.cache.may_push.set()
        await self.trips.close()
        await self.driver.close()

    async def read(self) -> bytes | None:
        (image,) = await self.trips.read((REF,))
        return None if image is None else image.value  # type: ignore[union-attr]

    async def write(self, value: bytes) -> None:
        await self.trips.commit(Batch((Put(REF, value),)))

    async def beat(self) -> bool:
        return await self.driver._relay.round()


class Hive:
    def __init__(self, level: Consistency) -> None:
        self.held: dict[str, Held] = {}
        memory = memory_of(parse_url("memory://"))
        self.one, self.two = (Side(MemoryDriver(memory, "n"), self.held, level) for _ in range(2))

    @property
    def server(self) -> Held:
        (held,) = self.held.values()
        return held


@pytest.fixture(params=list(Consistency), ids=[level.name.lower() for level in Consistency])
async def hive(request: pytest.FixtureRequest) -> AsyncIterator[Hive]:
    async for made in opened(request.param):
        yield made


@pytest.fixture
async def strict() -> AsyncIterator[Hive]:
    async for made in opened(Consistency.LINEARIZABLE):
        yield made


@pytest.fixture
async def bounded() -> AsyncIterator[Hive]:
    async for made in opened(Consistency.BOUNDED):
        yield made


async def opened(level: Consistency) -> AsyncIterator[Hive]:
    hive = Hive(level)
    sides = [hive.one, hive.two]
    for side in sides:
        await side.open()
    await hive.one.write(b"1")
    yield hive
    for side in sides:
        await side.close()


async def settled(side: Side) -> None:
    """What was pushed in the background has arrived."""
    while side.driver._front._pusher is not None:
        await asyncio.sleep(0)


async def test_hits_come_from_the_cache(hive: Hive) -> None:
    for side in (hive.one, hive.two, hive.two):
        assert await side.read() == b"1"
        await settled(side)
    front = hive.two.driver._front
    assert front.hits >= 1
    assert front.misses == 0


async def test_a_reader_that_is_paused_fills_in_nothing_old(hive: Hive) -> None:
    hive.two.cache.may_push.clear()
    paused = asyncio.create_task(hive.two.read())
    await asyncio.sleep(0.01)
    await hive.one.write(b"2")
    await settled(hive.one)
    hive.two.cache.may_push.set()
    await paused
    await settled(hive.two)
    for side in (hive.one, hive.two):
        forget(side.driver._front)
    assert [await hive.one.read(), await hive.two.read()] == [b"2", b"2"]


async def test_a_writer_that_dies_before_its_push_is_cleared_up_after(bounded: Hive) -> None:
    await bounded.two.read()
    await settled(bounded.two)
    bounded.one.cache.may_push.clear()
    await bounded.one.write(b"2")
    forget(bounded.two.driver._front)
    assert await bounded.two.read() == b"1"  # within the bound
    await bounded.two.beat()
    forget(bounded.two.driver._front)
    assert await bounded.two.read() == b"2"


async def test_nothing_is_older_than_the_bound_without_a_relay(bounded: Hive) -> None:
    await bounded.two.read()
    await settled(bounded.two)
    bounded.one.cache.may_push.clear()
    await bounded.one.write(b"2")
    began = now()
    while await bounded.two.read() != b"2":
        assert now() - began < 5, "it is never told"
        await asyncio.sleep(0.01)


async def test_own_writes_are_read_while_their_push_is_under_way(bounded: Hive) -> None:
    await bounded.one.read()
    bounded.one.cache.may_push.clear()
    for value in (b"2", b"3"):
        await bounded.one.write(value)
        assert await bounded.one.read() == value


async def test_a_server_that_comes_back_with_old_data_answers_nothing(hive: Hive) -> None:
    await hive.two.read()
    await settled(hive.two)
    saved = hive.server.entries.copy(), hive.server.told
    await hive.one.write(b"2")
    await settled(hive.one)
    hive.server.entries, hive.server.told = saved
    hive.server.run += 1
    forget(hive.two.driver._front)
    assert await hive.two.read() == b"2"
    await hive.one.beat()
    assert await hive.two.read() == b"2"


async def test_who_is_cut_off_keeps_the_cache_off_for_all(strict: Hive) -> None:
    one, two = strict.one, strict.two
    assert await two.read() == b"1"
    one.cache.cut = True
    writing = asyncio.create_task(one.write(b"2"))
    await asyncio.sleep(0.02)
    assert not await two.beat(), "it heard of the fence"
    await writing
    assert await two.read() == b"2"
    for value in (b"3", b"4"):  # and now nobody waits
        began = now()
        await one.write(value)
        assert await two.read() == value
        assert now() - began < BEAT
    one.cache.cut = False
    while one.driver._front.fence is not None and one.driver._front.fence.stands:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        while not await two.beat():  # the note goes a moment after that
            await asyncio.sleep(0.01)
    await two.read()
    assert await two.read() == b"4"
    assert two.driver._front.hits >= 1


async def test_a_failed_push_is_not_forgotten_by_who_failed(bounded: Hive) -> None:
    one = bounded.one
    await bounded.two.read()
    await settled(bounded.two)
    one.cache.cut = True
    await one.write(b"2")
    await settled(one)
    one.cache.cut = False
    while one.driver._front.breaker.refuses:
        await asyncio.sleep(0.01)
    assert await one.read() == b"2", "and the cache holds 1"
    forget(one.driver._front)
    assert await one.read() == b"2"


async def test_a_cache_that_hangs_is_not_waited_for(hive: Hive) -> None:
    hive.one.driver._front.breaker._timeout = 0.05
    hive.one.cache.may_push.clear()
    began = now()
    await hive.one.write(b"2")
    assert await hive.one.read() == b"2"
    assert now() - began < 5
    reply: Reply[object] = await hive.one.driver.recall([REF])  # type: ignore[assignment]
    assert len(reply.results) == 1


async def test_the_relay_drops_what_others_wrote_only(hive: Hive) -> None:
    one, two = hive.one, hive.two
    await settled(one)
    await one.beat()
    one.cache.pushed.clear()
    for side, pushes in ((one, 1), (two, 1)):
        await side.write(b"2")
        await settled(side)
        await one.beat()
        assert one.cache.pushed == [REF] * pushes  # its own write's, and the one that drops the other's
        one.cache.pushed.clear()
        await one.driver._relay._settle()  # what it told goes so
        assert await one.driver.marks("cache", 10) == []


def test_what_was_told_long_ago_is_dropped_again() -> None:
    told = Told()
    told.add([7, 5])
    for fresh in ([5, 7], []):
        assert told.has(7)
        assert not told.has(8)
        assert sorted(told.turn()) == fresh
    assert not told.has(7)


async def test_no_beat_if_the_sink_went_meanwhile(bounded: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that gives the cache up takes marks along of which nobody was told."""
    driver = bounded.one.driver
    drop = driver._relay._drop_marked

    async def given_up() -> None:
        row = await driver._port.control()
        await driver._port.control(row.epoch, replace(row, sinks=frozenset()))
        await drop()

    with monkeypatch.context() as patch:
        patch.setattr(driver._relay, "_drop_marked", given_up)
        assert not await bounded.one.beat()
    assert await bounded.one.beat()


async def test_an_own_write_is_at_hand(bounded: Hive) -> None:
    one = bounded.one
    await one.read()
    before = one.driver._front.near.hits
    image = one.driver.peek(REF)
    assert image is not None
    await one.trips.commit(Batch((Put(REF, b"2"),), (VersionIs(REF, image.version),)))
    assert await one.read() == b"2"
    assert one.driver._front.near.hits > before + 1


async def test_what_nobody_writes_again_is_kept_for_a_while_only(strict: Hive) -> None:
    front = strict.two.driver._front
    front._ttl = 100
    for hits in (0, 1):
        await strict.two.read()
        assert front.hits == hits
    await asyncio.sleep(0.11)
    await strict.two.read()
    assert front.hits == 1


async def test_who_reads_all_once_passes_the_cache_by(bounded: Hive) -> None:
    """And what it read there it remembers, though nobody else is told of it."""
    one, two = bounded.one, bounded.two
    assert await two.read() == b"1"
    await settled(two)
    front = one.driver._front
    front.worth.count(0, WINDOW, 0)
    front.worth._turn = THROUGH
    one.cache.pushed.clear()
    two.cache.may_push.clear()
    await two.write(b"2")  # and the cache holds 1
    assert await one.read() == b"2"
    assert front.worth.passes()
    assert one.cache.pushed == []
    forget(one.driver._front)
    front.worth.count(WINDOW, 0, 0)
    assert not front.worth.passes()
    assert await one.read() == b"2"


async def test_what_was_seen_to_be_gone_stays_gone(bounded: Hive) -> None:
    one, two = bounded.one, bounded.two
    await two.read()
    await settled(two)
    two.cache.may_push.clear()
    await two.trips.commit(Batch((Delete(REF),)))
    (found,) = (await one.driver.read([REF, RecordRef("c", "other")])).results[:1]
    assert found is None
    assert await one.read() is None


def test_seen_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter((0.0, 1.1, 2.0, 2.2))
    monkeypatch.setattr("hive_state_hybrid.seen.monotonic", lambda: next(instants))
    seen = Seen(1.0)
    seen.add(REF, 5)
    seen.add(REF, 4)
    for version in (5, 5, 0):
        seen.turn()
        assert seen.least(REF) == version


def test_a_cache_is_passed_by_and_asked_again() -> None:
    worth = Worth(given_up=True)
    worth.count(WINDOW // 5, WINDOW, 0)
    assert not any(worth.passes() for _ in range(ROUND))
    worth.count(WINDOW // 50, WINDOW, 0)
    assert sum(not worth.passes() for _ in range(ROUND)) == THROUGH
    near = ROUND
    worth.count(0, THROUGH - 1, 0)
    assert sum(not worth.passes() for _ in range(ROUND)) == THROUGH  # too few yet to judge it again
    worth.count(0, 0, near)  # what is at hand counts too, as much as what is asked
    assert not any(worth.passes() for _ in range(ROUND))
    worth.count(0, IN_VAIN - 1, near)
    assert not worth.passes()
    worth.count(0, 1, near)  # not one was a hit
    assert sum(not worth.passes() for _ in range(ROUND)) == THROUGH
    never = Worth(given_up=False)
    never.count(0, WINDOW, 0)
    assert not never.passes()


async def cached(side: Side) -> bool:
    """Whether the cache tells it the record."""
    (found,) = (await side.driver.recall([REF])).results
    return found is not MISSED


async def seal(side: Side) -> None:
    row = await side.driver.control()
    await side.driver.control(row.epoch, replace(row, state=ControlState.SEALED, term=row.term + 1))


async def test_where_the_hive_is_about_to_leave_no_cache_answers(hive: Hive) -> None:
    """What is written in the other store is told to none of this one."""
    one, two = hive.one, hive.two
    await settled(one)
    await one.beat()
    await two.read()
    await settled(two)
    assert await cached(two)
    await seal(one)
    assert not await cached(two)


async def test_who_seals_and_cannot_reach_the_cache_waits_until_it_is_off(strict: Hive) -> None:
    one, two = strict.one, strict.two
    await one.beat()
    await two.read()
    assert await cached(two)
    one.cache.cut = True
    await seal(one)
    assert not await cached(two)
    one.cache.cut = False


@pytest.mark.parametrize("level", [Consistency.BOUNDED, Consistency.SESSION], ids=["bounded", "session"])
async def test_what_is_told_from_memory_for_how_long(level: Consistency) -> None:
    """By what is known of its age."""
    async for hive in opened(level):
        one, two = hive.one, hive.two
        span = two.driver._options.near_span
        assert span == (BEAT + 0.05 if level is Consistency.BOUNDED else 0.05)
        await settled(one)
        await one.beat()
        await two.read()
        assert lasts(two) == pytest.approx(span, abs=0.005), "read in the durable store"
        await settled(two)
        await one.beat()
        await asyncio.sleep(0.6 * BEAT)
        forget(two.driver._front)
        await two.read()
        assert two.driver._front.hits
        left = 0.4 * BEAT + 0.05 if level is Consistency.BOUNDED else 0.05
        assert lasts(two) == pytest.approx(left, abs=0.005), "told by the cache"
        await one.trips.commit(
            Batch((Put(RecordRef("c", "new"), b"1"),), (VersionIs(RecordRef("c", "new"), 0),))
        )
        assert lasts(one, RecordRef("c", "new")) == pytest.approx(span, abs=0.005), "its own write"


def lasts(side: Side, ref: RecordRef = REF) -> float:
    """Seconds for which the record is at hand from now on."""
    near = side.driver._front.near
    assert near.peek(ref) is not None
    return near.ends(ref) - now()


async def test_what_was_read_in_a_list_is_not_taken_back(bounded: Hive) -> None:
    """What is at hand is older than what was just told from the durable store."""
    one, two = bounded.one, bounded.two
    for gone in (False, True):
        assert await one.read() is not None
        if gone:
            await two.trips.commit(Batch((Delete(REF),)))
        else:
            await two.write(b"2")
        (found,) = (await one.driver.read([REF])).results
        assert (found is None) == gone
        assert await one.read() == (None if gone else b"2")
    await two.write(b"3")
    assert (await one.driver.scan(Scan(kind="record", within="c", limit=10))).items
    assert await one.read() == b"3"


async def test_a_write_whose_reply_comes_late_takes_nothing_back(bounded: Hive) -> None:
    """Another's, which is newer, was read meanwhile."""
    one, two = bounded.one, bounded.two
    (before,) = (await one.driver.fetch([REF])).results
    assert before is not None
    heard = asyncio.Event()
    commit = one.driver._durable.commit

    async def late(batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await commit(batches, trip_id)
        await heard.wait()
        return reply

    one.driver._durable.commit = late  # type: ignore[method-assign]
    swap = Batch((Put(REF, b"2"),), (VersionIs(REF, before.version),))
    writing = asyncio.create_task(one.trips.commit(swap))
    await asyncio.sleep(0.01)
    await two.write(b"3")
    await one.driver.fetch([REF])
    heard.set()
    await writing
    assert await one.read() == b"3"


def test_what_is_near_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came first goes first; what was asked for before that came is not told any more."""
    monkeypatch.setattr("hive_state_hybrid.near.monotonic", lambda: clock)
    near, images = Near(2, 100.0), [image_of(str(number)) for number in range(4)]
    for clock, image in enumerate(images[:3], 1):
        near.keep(image, clock, clock, None)
    assert [near.peek(image.ref) for image in images] == [None, *images[1:3], None]
    near.keep(images[3], 1.0, 1.0, None)
    assert [near.peek(image.ref) for image in images] == [None, None, images[2], None]
    assert near.hits == 3


def test_what_is_gone_is_near_again_only_if_it_was_there_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that began before it was read as gone is known from then on: nothing older is told, even if it
    was the latest between the two."""
    monkeypatch.setattr("hive_state_hybrid.near.monotonic", lambda: 10.0)
    near, image = Near(2, 100.0), image_of("k")
    near.keep(image, 1.0, 1.0, None)
    near.gone(image.ref)
    assert near.peek(image.ref) is None
    near.keep(replace(image, version=2), 9.0, 9.0, None)  # asked for before that was heard
    assert near.peek(image.ref) is None
    near.wrote(image.ref, 4, 9.5)
    near.keep(replace(image, version=3), 11.0, 11.0, None)
    assert near.peek(image.ref) is None
    near.keep(replace(image, version=5), 11.0, 11.0, None)
    assert near.peek(image.ref) is not None


async def test_nothing_is_near_where_there_is_no_room() -> None:
    near = Near(0, 1.0)
    near.keep(image_of("k"), 0.0, 0.0, None)
    near.wrote(REF, 5)
    near.gone(REF)
    assert near.known(REF, 5) is near.known(RecordRef("c", "k"), 1) is None


def image_of(key: str) -> RecordImage:
    return RecordImage(
        ref=RecordRef("c", key),
        version=1,
        created_version=1,
        value=b"1",
        raw=False,
        index=(),
        created_at=0,
        updated_at=0,
        expires_at=None,
    )
