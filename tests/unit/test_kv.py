"""The KVDriver at SPI level: trips of many batches, lost swaps, the clock, namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hive_state_core.errors import (
    ConfigError,
    CorruptData,
    HiveStateError,
    NotPrimary,
    SchemaMismatch,
    Sealed,
    StoreMoved,
    Unavailable,
    Unsupported,
)
from hive_state_core.features import Wake
from hive_state_core.kv import Bell, keys
from hive_state_core.kv.entities import Entities, Space
from hive_state_core.kv.sortedmap import SortedMap
from hive_state_core.kv.trip import Head
from hive_state_core.model import CommitRef, QueueRef, RecordRef, TaskImage, TaskRef, TaskState, Topic
from hive_state_core.spi import (
    Batch,
    Cancel,
    ClaimedTasks,
    ClaimTasks,
    Committed,
    Complete,
    ControlState,
    CreatedIs,
    Delete,
    Enqueue,
    Enqueued,
    Fail,
    LeaseIs,
    Put,
    Reason,
    Redrive,
    Refused,
    Retention,
    Scan,
    Swept,
    VersionIs,
)
from hive_state_core.url import parse_url
from hive_state_memory.driver import Memory, MemoryDriver, memory_of

from .driving import Manual, Slow, commit, do, next_trip

pytestmark = pytest.mark.prompt

HEAD = b"hive\0head"
A, B = RecordRef("c", "a"), RecordRef("c", "b")


async def take(driver: MemoryDriver, queue: str = "q", limit: int = 10) -> tuple[TaskImage, ...]:
    (claimed,) = (await driver.claim([ClaimTasks(queue, "w", 1000, limit)], next_trip())).results
    assert isinstance(claimed, ClaimedTasks)
    return claimed.tasks


async def task(driver: MemoryDriver, id: str) -> TaskImage:
    (image,) = (await driver.read([TaskRef(id)])).results
    assert isinstance(image, TaskImage)
    return image


def enqueue(id: str, *parents: str, dedupe: str | None = None, priority: int = 5, delay: int = 0) -> Enqueue:
    return Enqueue(
        TaskRef(id), "q", b"1", dedupe_key=dedupe, depends_on=parents, priority=priority, delay=delay
    )


def edit_head(memory: Memory, **changes: object) -> None:
    head = keys.decode(memory.rows[HEAD], Head)
    memory.rows.put(HEAD, keys.encode(replace(head, control=replace(head.control, **changes))))


# --- trips of many batches


async def test_a_refused_batch_leaves_no_trace_and_its_neighbours_are_applied(driver: MemoryDriver) -> None:
    first, refused, last = await commit(
        driver,
        Batch((Put(A, b"1"),)),
        Batch((Put(B, b"2"), enqueue("t", dedupe="d"), Complete(TaskRef("none"), 9))),
        Batch((enqueue("u"),)),
    )
    assert isinstance(first, Committed)
    assert isinstance(last, Committed)
    assert refused == Refused(Reason.LEASE, TaskRef("none"), index=2, in_check=False, expected=9)
    reply = await driver.read([A, B, TaskRef("t"), TaskRef("u")])
    assert [image is not None for image in reply.results] == [True, False, False, True]
    assert await do(driver, enqueue("v", dedupe="d")) == (Enqueued("v", created=True),)


async def test_checks_see_the_pre_state_and_operations_their_own_batch(driver: MemoryDriver) -> None:
    (committed,) = await commit(
        driver, Batch((Put(A, b"1"), enqueue("p"), enqueue("c", "p")), checks=(VersionIs(A, 0),))
    )
    assert isinstance(committed, Committed)
    assert (await task(driver, "c")).state is TaskState.WAITING
    (again,) = await commit(driver, Batch((Put(A, b"2"),), checks=(VersionIs(A, 0),)))
    assert again == Refused(Reason.VERSION, A, 0, in_check=True, expected=0, actual=committed.version)


async def test_created_is_holds_across_writes_and_not_across_a_new_life(driver: MemoryDriver) -> None:
    (first,) = await commit(driver, Batch((Put(A, b"1"),)))
    assert isinstance(first, Committed)
    check = CreatedIs(A, first.version)
    await commit(driver, Batch((Put(A, b"2"),), checks=(check,)))
    await do(driver, Delete(A))
    (absent,) = await commit(driver, Batch((), checks=(check,)))
    assert absent == Refused(Reason.VERSION, A, 0, in_check=True, expected=first.version, actual=0)


async def test_a_lease_that_is_over_is_current_until_it_is_taken_away(
    driver: MemoryDriver, memory: Manual
) -> None:
    await do(driver, enqueue("t"))
    (leased,) = await take(driver)
    memory.instant += 5000
    check = Batch((), checks=(LeaseIs(leased.ref, leased.token),))
    assert isinstance((await commit(driver, check))[0], Committed)
    await driver.sweep(10, Retention())
    assert isinstance((await commit(driver, check))[0], Refused)


async def test_the_order_of_enqueues_is_that_of_batches_and_operations(driver: MemoryDriver) -> None:
    await commit(driver, Batch((enqueue("z"), enqueue("y"))), Batch((enqueue("x"), enqueue("w"))))
    assert [t.ref.id for t in await take(driver)] == ["z", "y", "x", "w"]


async def test_a_child_is_released_by_the_last_of_several_batches(driver: MemoryDriver) -> None:
    await do(driver, enqueue("p1"), enqueue("p2"), enqueue("c", "p1", "p2"))
    parents = await take(driver)
    await commit(driver, *(Batch((Complete(p.ref, p.token),)) for p in parents))
    child = await task(driver, "c")
    assert (child.state, child.unmet) == (TaskState.READY, 0)


async def test_a_child_cancelled_beside_its_release(driver: MemoryDriver) -> None:
    await do(driver, enqueue("p"), enqueue("c", "p"))
    (parent,) = await take(driver)
    outcomes = await commit(
        driver,
        Batch((Cancel(TaskRef("c")),)),
        Batch((Complete(parent.ref, parent.token),)),
        Batch((Redrive(TaskRef("x")),)),
    )
    assert [o.results for o in outcomes if isinstance(o, Committed)] == [
        (TaskState.CANCELLED,),
        (None,),
        (False,),
    ]
    child = await task(driver, "c")
    assert (child.state, child.unmet) == (TaskState.CANCELLED, 0)
    assert await do(driver, Redrive(TaskRef("c"))) == (True,)
    assert (await task(driver, "c")).state is TaskState.READY


async def test_a_completed_parent_never_counts_twice(driver: MemoryDriver) -> None:
    """A later task of the same id is another task."""
    await do(driver, enqueue("p"), enqueue("q1"), enqueue("c", "p", "q1"))
    parent, other = await take(driver)
    await do(driver, Complete(parent.ref, parent.token))
    await driver.sweep(10, Retention(completed=0))
    await do(driver, enqueue("p"))
    (twin,) = await take(driver)
    await do(driver, Complete(twin.ref, twin.token))
    assert (await task(driver, "c")).unmet == 1
    await do(driver, Complete(other.ref, other.token))
    assert (await task(driver, "c")).state is TaskState.READY


async def test_a_missing_parent_is_named(driver: MemoryDriver) -> None:
    (refused,) = await commit(driver, Batch((Put(A, b"1"), enqueue("c", "none"))))
    assert refused == Refused(Reason.MISSING, TaskRef("none"), index=1, in_check=False)


async def test_one_batch_frees_a_dedupe_key_and_takes_it(driver: MemoryDriver) -> None:
    await do(driver, enqueue("t", dedupe="d"))
    (leased,) = await take(driver)
    results = await do(
        driver, enqueue("u", dedupe="d"), Complete(leased.ref, leased.token), enqueue("v", dedupe="d")
    )
    assert results == (Enqueued("t", created=False), None, Enqueued("v", created=True))


async def test_two_redrives_contest_one_dedupe_key(driver: MemoryDriver) -> None:
    for name in ("t", "u"):
        await do(driver, enqueue(name, dedupe="d"))
        await do(driver, Cancel(TaskRef(name)))
    first, second, third = await commit(
        driver,
        Batch((Redrive(TaskRef("u")),)),
        Batch((Redrive(TaskRef("t")),)),
        Batch((enqueue("v", dedupe="d"),)),
    )
    assert isinstance(first, Committed)
    assert isinstance(second, Committed)
    assert isinstance(third, Committed)
    assert (first.results, second.results, second.version) == ((True,), (False,), 0)
    assert third.results == (Enqueued("u", created=False),)


async def test_a_key_that_one_batch_frees_is_redriven_into_by_the_next(driver: MemoryDriver) -> None:
    await do(driver, enqueue("old", dedupe="d"))
    await do(driver, Cancel(TaskRef("old")), enqueue("new", dedupe="d"))
    _, redriven = await commit(driver, Batch((Cancel(TaskRef("new")),)), Batch((Redrive(TaskRef("old")),)))
    assert isinstance(redriven, Committed)
    assert redriven.results == (True,)


async def test_a_remembered_commit_is_answered_again(driver: MemoryDriver, memory: Manual) -> None:
    batch = Batch((enqueue("t"),), commit_id="k", fingerprint=b"f")
    (first,) = await commit(driver, batch)
    memory.instant += 10
    assert await commit(driver, batch) == [first]
    assert await commit(driver, Batch((Put(A, b""),), commit_id="k", fingerprint=b"g")) == [
        Refused(Reason.COMMIT_ID, CommitRef("k"), index=0, in_check=False)
    ]
    swept = await driver.sweep(10, Retention(commits=10))
    assert swept.commits_removed == 1


async def test_a_trip_in_which_nothing_changes_writes_nothing(driver: MemoryDriver, memory: Manual) -> None:
    before = dict(memory.rows.items())
    outcomes = await commit(driver, Batch((Delete(A),)), Batch((Cancel(TaskRef("none")),)), Batch(()))
    assert {o.version for o in outcomes if isinstance(o, Committed)} == {0}
    assert await take(driver) == ()
    assert await driver.sweep(10, Retention()) == Swept()
    assert dict(memory.rows.items()) == before


# --- claims


async def test_requests_of_one_claim_share_nothing(driver: MemoryDriver) -> None:
    await do(driver, enqueue("late", delay=60_000), enqueue("b"), enqueue("a", priority=-1))
    claimed = await driver.claim([ClaimTasks("q", "w", 9, 1), ClaimTasks("q", "w", 9, 5)], "x")
    first, second = claimed.results
    assert isinstance(first, ClaimedTasks)
    assert isinstance(second, ClaimedTasks)
    assert [[t.ref.id for t in c.tasks] for c in (first, second)] == [["a"], ["b"]]
    assert (first.next_due_in, second.next_due_in) == (None, 9)


async def test_a_failed_lease_and_what_the_counters_say(driver: MemoryDriver, memory: Manual) -> None:
    await do(driver, enqueue("a"), enqueue("b", delay=50), Put(A, b""), Put(B, b""), Delete(B))
    (leased,) = await take(driver)
    assert await do(driver, Fail(leased.ref, leased.token, "no", None)) == (TaskState.DEAD,)
    stats = await driver.stats()
    assert stats.records == {"c": 1}
    assert stats.queues["q"].states == {TaskState.DEAD: 1, TaskState.SCHEDULED: 1}
    assert stats.queues["q"].oldest_ready_at is None
    memory.instant += 60
    assert (await driver.stats()).queues["q"].oldest_ready_at == 1_000_050


async def test_a_sweep_keeps_what_a_live_child_waits_for(driver: MemoryDriver, memory: Manual) -> None:
    await do(driver, enqueue("p"), enqueue("c", "p"), enqueue("free"))
    await do(driver, Cancel(TaskRef("p")), Cancel(TaskRef("free")))
    swept = await driver.sweep(1, Retention(cancelled=0))
    assert (swept.tasks_removed, swept.more) == (1, True)
    assert (await driver.read([TaskRef("p"), TaskRef("free")])).results[1] is None
    await do(driver, Cancel(TaskRef("c")))
    assert (await driver.sweep(10, Retention(cancelled=0))).tasks_removed == 2
    assert [key.split(b"\0")[1] for key in memory.rows.items()] == [b"head"]


# --- lost swaps


class Contested(MemoryDriver):
    """Another driver writes just before the first `losses` swaps."""

    losses = 0

    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        if self.losses:
            self.losses -= 1
            rival = MemoryDriver(self._memory, "hive")
            await do(rival, Put(A, b"rival"), enqueue(f"r{self.losses}"))
        return await super().swap(guard, expected, writes)


async def test_a_lost_swap_is_decided_anew(memory: Manual) -> None:
    driver = Contested(memory, "hive")
    await driver.open()
    driver.losses = 3
    (refused,) = await commit(driver, Batch((Put(A, b"mine"),), checks=(VersionIs(A, 0),)))
    assert isinstance(refused, Refused)
    assert refused.actual
    driver.losses = 2
    (put,) = await commit(driver, Batch((Put(A, b"mine"),)))
    (image,) = (await driver.read([A])).results
    assert isinstance(put, Committed)
    assert image is not None
    assert image.version == put.version


async def test_whoever_always_loses_gives_up(memory: Manual) -> None:
    driver = Contested(memory, "hive")
    await driver.open()
    driver.losses, driver.patience = 10**9, 0.0
    with pytest.raises(Unavailable):
        await commit(driver, Batch((Put(B, b""),)))
    driver.losses = 0
    assert (await driver.read([B])).results == [None]


async def test_an_entry_without_its_task_is_corrupt_not_endless(driver: MemoryDriver, memory: Manual) -> None:
    await do(driver, enqueue("t"))
    memory.rows.remove(b"hive\0task\0t")
    with pytest.raises(CorruptData):
        await take(driver)


async def test_racing_drivers_hand_out_each_task_once_and_lose_none(memory: Manual) -> None:
    drivers = [Slow(memory, "hive") for _ in range(4)]
    await asyncio.gather(*(driver.open() for driver in drivers))
    await do(drivers[0], *(enqueue(f"t{n}") for n in range(40)))
    taken: list[str] = []

    async def work(driver: MemoryDriver) -> None:
        while tasks := await take(driver, limit=3):
            taken.extend(task.ref.id for task in tasks)
            await do(driver, *(Complete(task.ref, task.token) for task in tasks))
            await driver.sweep(1, Retention(completed=0))

    await asyncio.gather(*map(work, drivers))
    assert sorted(taken) == sorted(f"t{n}" for n in range(40))
    states = (await drivers[0].stats()).queues.get("q")
    assert states is None or set(states.states) == {TaskState.COMPLETED}


# --- clock, versions, control


async def test_a_clock_that_was_set_back_is_clamped(driver: MemoryDriver, memory: Manual) -> None:
    (first,) = await commit(driver, Batch((Put(A, b"1", ttl=100),)))
    memory.instant -= 5000
    (second,) = await commit(driver, Batch((Put(B, b"2"),)))
    assert isinstance(first, Committed)
    assert isinstance(second, Committed)
    assert second.at == first.at
    assert second.version > first.version
    assert (await driver.read([A])).at == first.at
    assert (await driver.scan(Scan(kind="record", within="c"))).at == first.at


async def test_versions_begin_with_the_term(driver: MemoryDriver, memory: Manual) -> None:
    edit_head(memory, term=1000)
    await do(driver, enqueue("t"))
    (leased,) = await take(driver)
    assert 1000 * 2**43 < leased.version == leased.token < 2**53


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (ControlState.SEALED, Sealed),
        (ControlState.MOVED, StoreMoved),
        (ControlState.STANDBY, NotPrimary),
    ],
)
async def test_only_an_open_store_takes_writes(
    driver: MemoryDriver, memory: Manual, state: ControlState, error: type[HiveStateError]
) -> None:
    await do(driver, Put(A, b"1"))
    edit_head(memory, state=state, epoch=7)
    with pytest.raises(error):
        await commit(driver, Batch((Put(A, b"2"),)))
    with pytest.raises(error):
        await take(driver)
    reply = await driver.read([A])
    assert reply.epoch == 7
    assert reply.results[0] is not None


async def test_outcomes_are_refused(driver: MemoryDriver) -> None:
    with pytest.raises(Unsupported):
        await driver.outcome("t")


# --- namespaces, names, schema


async def test_named_memories_are_shared_and_unnamed_are_not() -> None:
    async def opened(url: str) -> MemoryDriver:
        driver = MemoryDriver(memory_of(parse_url(url)), "hive")
        await driver.open()
        return driver

    first = await opened("memory://test-kv")
    await do(first, Put(A, b"1"))
    await first.close()
    found = [(await (await opened(url)).read([A])).results[0] for url in ("memory://test-kv", "memory://")]
    assert [image is not None for image in found] == [True, False]
    await first.schema("drop")


@pytest.mark.parametrize("url", ["memory:///file", "memory://a/b", "memory://user@a", "memory://a:1"])
def test_a_url_that_no_memory_has(url: str) -> None:
    with pytest.raises(ConfigError):
        memory_of(parse_url(url))


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="'size'"):
        memory_of(parse_url("memory://?size=3"))


async def test_drop_empties_this_namespace_alone(driver: MemoryDriver, memory: Manual) -> None:
    await do(driver, Put(A, b"1"), enqueue("t"))
    other = MemoryDriver(memory, "hive-2")
    assert (await other.schema("inspect")).found is None
    await other.open()
    await do(other, Put(A, b"2"))
    assert (await driver.schema("drop")).found is None
    assert {key.split(b"\0")[0] for key in memory.rows.items()} == {b"hive-2"}
    with pytest.raises(SchemaMismatch):
        await driver.read([A])
    assert (await driver.schema("upgrade")).steps
    assert not (await driver.schema("upgrade")).steps
    assert (await driver.read([A])).results == [None]
    assert (await other.read([A])).results != [None]


async def test_a_newer_schema_is_refused(driver: MemoryDriver, memory: Manual) -> None:
    head = keys.decode(memory.rows[HEAD], Head)
    memory.rows.put(HEAD, keys.encode(replace(head, schema=2)))
    with pytest.raises(SchemaMismatch):
        await MemoryDriver(memory, "hive").open()


# --- hints


async def test_a_wait_is_woken_by_another_driver(driver: MemoryDriver, memory: Manual) -> None:
    topics: frozenset[Topic] = frozenset({QueueRef("q"), A})
    waiting = asyncio.create_task(driver.wait(topics, 10_000))
    await asyncio.sleep(0)
    await do(MemoryDriver(memory, "hive"), enqueue("t"))
    assert await waiting == {QueueRef("q")}
    assert await driver.wait(topics, 1) == frozenset()


async def test_without_push_a_wait_looks_for_writes_of_others(memory: Manual) -> None:
    driver = MemoryDriver(memory, "hive")
    await driver.open()
    driver._features = replace(driver.features, wake=Wake.POLL)
    driver._bell, driver.poll = Bell(), 0.001
    waiting = asyncio.create_task(driver.wait(frozenset({A}), 10_000))
    await asyncio.sleep(0.01)
    await do(MemoryDriver(memory, "hive"), Put(B, b""))
    assert await waiting == {A}
    assert await driver.wait(frozenset({A}), 5) == frozenset()


# --- scans


@pytest.mark.parametrize("reverse", [False, True])
async def test_pages_of_a_filtered_scan_join_without_gap(driver: MemoryDriver, reverse: bool) -> None:
    puts = [Put(RecordRef("c", f"{n:05}"), b"", index=(("odd", n % 2),)) for n in range(2500)]
    for start in range(0, len(puts), 500):
        await do(driver, *puts[start : start + 500])
    query = Scan(kind="record", within="c", where=(("odd", 1),), limit=300, reverse=reverse)
    found: list[str] = []
    after = None
    while True:
        page = await driver.scan(replace(query, after=after))
        found += [item.ref.key for item in page.items]  # type: ignore[union-attr]
        after = page.next
        if after is None:
            break
    assert found == sorted((p.ref.key for p in puts if p.index[0][1]), reverse=reverse)
    assert (await driver.scan(replace(query, count=True))).total == 1250
    assert (await driver.scan(replace(query, where=(("odd", True),), count=True))).total == 0


# --- properties of the parts

_names = st.text(st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=3)
_numbers = st.integers(-(2**53), 2**53)


@pytest.mark.no_cover  # the first draw tabulates all of Unicode
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(_names, _numbers, _names)))
def test_keys_are_ordered_as_their_tuples_are(tuples: list[tuple[str, int, str]]) -> None:
    by_bytes = sorted(tuples, key=lambda parts: keys.join(*parts))
    assert by_bytes == sorted(tuples, key=lambda parts: (parts[0].encode(), parts[1], parts[2].encode()))
    for name, number, last in tuples:
        key = keys.join(name, number, last)
        assert keys.split(key)[0] == name
        assert keys.number(keys.split(key)[1]) == number
        start, stop = keys.under(name)
        assert start <= key < stop


_keys = st.binary(min_size=1, max_size=2)
_writes = st.dictionaries(_keys, st.none() | st.binary(max_size=1), max_size=8)


@given(st.lists(_writes, min_size=1, max_size=4), _keys, _keys, st.none() | st.integers(1, 5))
def test_layers_read_like_one_map(
    layers: list[dict[bytes, bytes | None]], start: bytes, stop: bytes, limit: int | None
) -> None:
    async def check() -> None:
        memory = Memory()
        for key, value in layers[0].items():
            if value is not None:
                memory.rows.put(b"n\0" + key, value)
        top = Entities(Space(MemoryDriver(memory, "n"), "n"))
        model = dict(layers[0])
        for layer in layers[1:]:
            top = top.fork()
            for key, value in layer.items():
                top.put(key, value)
                model[key] = value
        rows = sorted((k, v) for k, v in model.items() if v is not None and start <= k < stop)
        assert list(await top.range(start, stop, limit)) == rows[:limit]

    asyncio.run(check())


@given(st.lists(st.tuples(_keys, st.booleans())), _keys, _keys, st.integers(1, 4), st.booleans())
def test_a_sorted_map_is_a_dict_in_order(
    steps: list[tuple[bytes, bool]], start: bytes, stop: bytes, limit: int, reverse: bool
) -> None:
    rows: SortedMap[int] = SortedMap()
    model: dict[bytes, int] = {}
    for number, (key, add) in enumerate(steps):
        if add:
            rows.put(key, number)
            model[key] = number
        else:
            rows.remove(key)
            model.pop(key, None)
    wanted = sorted(((k, v) for k, v in model.items() if start <= k < stop), reverse=reverse)
    assert rows.range(start, stop, limit, reverse) == wanted[:limit]
    assert rows.items() == model
