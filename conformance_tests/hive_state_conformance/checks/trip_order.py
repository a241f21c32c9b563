"""Area T, continued: versions, instants and order over trips; reads and claims of many callers."""

from __future__ import annotations

from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.checks.trips import one, put, rec
from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.limits import VERSION_MAX
from hive_state_core.model import QueueRef, ReadRef, RecordImage, RecordRef, TaskImage, TaskRef
from hive_state_core.spi import (
    Batch,
    ClaimedTasks,
    ClaimTasks,
    Committed,
    Enqueue,
    Enqueued,
    Put,
    Scan,
    SetPaused,
)

TASKS = {Facility.TASKS}


@check("trip.versions_grow", area="T", number=11)
async def versions_grow(env: Env) -> None:
    """Contract: versions grow from trip to trip over the whole store, and each record carries its batch's."""
    highest = 0
    for turn in range(12):
        reply = await env.trip(*(one(put(f"{turn}-{n}")) for n in range(5)))
        versions = [cast(Committed, outcome).version for outcome in reply.results]
        images = (await env.driver.read([rec(f"{turn}-{n}") for n in range(5)])).results
        assert [cast(RecordImage, image).version for image in images] == versions
        assert versions == sorted(versions)
        assert highest < versions[0] <= versions[-1] <= VERSION_MAX
        highest = versions[-1]


@check("trip.instants_never_go_back", area="T", number=12)
async def instants_never_go_back(env: Env) -> None:
    """Contract: no trip and no read has an instant before that of a trip that ended before it."""
    last = 0
    for turn in range(60):
        reply = await env.trip(one(put("k", str(turn).encode())))
        read = await env.driver.read([rec("k")])
        image = cast(RecordImage, read.results[0])
        page = await env.driver.scan(Scan(kind="record", within="c"))
        assert last <= reply.at <= read.at
        assert image.updated_at == reply.at <= page.at
        last = reply.at


@check("trip.reads_of_every_kind", area="T", number=13, needs=TASKS)
async def reads_of_every_kind(env: Env) -> None:
    """Contract: one read answers for records, tasks and queues mixed, in order, doubles and holes kept."""
    await env.commit(Batch((put("k"), Enqueue(TaskRef("k"), "k", b"2"), SetPaused(QueueRef("k"), True))))
    refs: list[ReadRef] = [
        TaskRef("k"), RecordRef("c", "k"), QueueRef("k"), RecordRef("c", "no"), TaskRef("no"), QueueRef("no"),
        RecordRef("c", "k"), TaskRef("k"), RecordRef("k", "c"),
    ]  # fmt: skip
    images = (await env.driver.read(refs)).results
    shown = [None if image is None else image.ref for image in images]
    there = {TaskRef("k"), RecordRef("c", "k"), QueueRef("k")}
    assert shown == [ref if ref in there else None for ref in refs]
    assert images[0] == images[7]
    assert images[1] == images[6]


@check("trip.listing_without_values", area="T", number=14)
async def listing_without_values(env: Env) -> None:
    """Contract: a scan without values gives all of an image but its value."""
    await env.commit(one(Put(rec("k"), b"12345", index=(("x", 1),), ttl=60_000)))
    whole = await env.driver.scan(Scan(kind="record", within="c"))
    bare = await env.driver.scan(Scan(kind="record", within="c", values=False))
    (full,), (empty,) = cast("list[RecordImage]", whole.items), cast("list[RecordImage]", bare.items)
    assert (full.value, empty.value) == (b"12345", b"")
    assert (empty.version, empty.index, empty.expires_at) == (full.version, full.index, full.expires_at)


@check("trip.enqueue_order", area="T", number=15, needs=TASKS)
async def enqueue_order(env: Env) -> None:
    """Contract: tasks are claimed in the order of the trips, then of the batches, then of the operations."""
    names = [f"{(n * 53) % 120:03}" for n in range(120)]
    enqueues = [Enqueue(TaskRef(name), "q", b"1") for name in names]
    await env.trip(*map(one, enqueues[:40]))
    await env.trip(*(Batch(tuple(enqueues[n : n + 4])) for n in range(40, 80, 4)))
    await env.trip(Batch(tuple(enqueues[80:100])), *map(one, enqueues[100:]))
    orders = [(await env.task(name)).order for name in names]
    assert orders == sorted(orders)
    found = [task.ref.id for task in await env.claim_some("q", limit=1000)]
    assert found == names


@check("trip.enqueues_of_every_kind", area="T", number=16, needs=TASKS)
async def enqueues_of_every_kind(env: Env) -> None:
    """Contract: enqueues of many batches in one trip each keep their own fields."""
    ops = [
        Enqueue(TaskRef("a"), "q", b"1", priority=9, delay=0, max_attempts=3, dedupe_key="d"),
        Enqueue(TaskRef("b"), "q", b"\0\xff", raw=True, priority=-9, delay=60_000, max_attempts=9),
        Enqueue(TaskRef("a2"), "q2", b"{}", dedupe_key="d"),
    ]
    reply = await env.trip(*map(one, ops))
    assert [cast(Committed, outcome).results for outcome in reply.results] == [
        (Enqueued(op.ref.id, True),) for op in ops
    ]
    for op in ops:
        task = await env.task(op.ref.id)
        kept = (task.queue, task.payload, task.raw, task.priority, task.max_attempts, task.dedupe_key)
        assert kept == (op.queue, op.payload, op.raw, op.priority, op.max_attempts, op.dedupe_key)
        assert (task.due_at, task.created_at, task.attempt, task.token) == (
            reply.at + op.delay,
            reply.at,
            0,
            0,
        )


@check("trip.claims_share_nothing", area="T", number=17, needs=TASKS)
async def claims_share_nothing(env: Env) -> None:
    """Contract: claims of one trip are served in their order and never get the same task."""
    ids = [f"{n:02}" for n in range(20)]
    await env.commit(Batch(tuple(Enqueue(TaskRef(name), "q", b"1") for name in ids)))
    await env.commit(one(Enqueue(TaskRef("other"), "q2", b"1")))
    reply = await env.claim(
        ClaimTasks("q", "one", 60_000, 7),
        ClaimTasks("q2", "two", 60_000, 5),
        ClaimTasks("q", "three", 50_000, 8),
        ClaimTasks("empty", "four", 60_000, 5),
        ClaimTasks("q", "five", 60_000, 100),
    )
    given = [cast(ClaimedTasks, found).tasks for found in reply.results]
    assert [[task.ref.id for task in tasks] for tasks in given] == [
        ids[:7],
        ["other"],
        ids[7:15],
        [],
        ids[15:],
    ]
    assert [{task.worker for task in tasks} for tasks in given] == [
        {"one"},
        {"two"},
        {"three"},
        set(),
        {"five"},
    ]
    assert {task.lease_until for task in given[2]} == {reply.at + 50_000}
    flat: list[TaskImage] = [task for tasks in given for task in tasks]
    now = (await env.driver.read([task.ref for task in flat])).results
    assert list(now) == flat


@check("trip.next_due_is_said", area="T", number=18, needs=TASKS)
async def next_due_is_said(env: Env) -> None:
    """Contract: a claim that finds too little may say how long to wait before asking again, and never says
    too long.
    """
    await env.commit(one(Enqueue(TaskRef("t"), "q", b"1", delay=60_000)))
    reply = await env.claim(ClaimTasks("q", "w", 60_000), ClaimTasks("empty", "w", 60_000))
    waiting, empty = cast("tuple[ClaimedTasks, ClaimedTasks]", tuple(reply.results))
    task = await env.task("t")
    assert (waiting.tasks, empty.tasks) == ((), ())
    due_in = waiting.next_due_in
    assert due_in is None or 0 <= due_in <= task.due_at - reply.at
    await env.commit(one(Enqueue(TaskRef("u"), "q", b"1")))
    (short,) = (await env.claim(ClaimTasks("q", "w", 1000, 2))).results
    due_in = cast(ClaimedTasks, short).next_due_in
    assert due_in is None or 0 <= due_in <= 1000, "the lease that was just given ends sooner"
