"""Area H: what goes into a queue, and in which order it comes out."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_core.errors import InvalidArgument, LimitExceeded
from hive_state_core.features import Facility
from hive_state_core.limits import PRIORITY_MAX, PRIORITY_MIN, VALUE_BYTES
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import Batch, ClaimedTasks, ClaimTasks, Enqueue

TASKS = {Facility.TASKS}


async def claimed_ids(env: Env, queue: str = "q", limit: int = 1000) -> list[str]:
    """What one claim gives, in its order."""
    return [lease.id for lease in await env.store.tasks.claim(queue, worker="w", limit=limit)]


@check("queue.task.round_trip", area="H", number=80, needs=TASKS)
async def task_round_trip(env: Env) -> None:
    """Contract: a task comes back as it was enqueued, by id, by list and by claim; an unknown id is None."""
    tasks = env.store.tasks
    made = await tasks.enqueue("q", {"n": [1, None]}, priority=3, max_attempts=7, dedupe_key="d")
    assert made.created is True
    task = await tasks.get(made.id)
    assert task is not None
    assert (task.id, task.queue, task.payload) == (made.id, "q", {"n": [1, None]})
    assert (task.state, task.priority, task.attempt, task.max_attempts) == (TaskState.READY, 3, 0, 7)
    assert (task.dedupe_key, task.error, task.result, task.finished_at) == ("d", None, None, None)
    assert task.due_at == task.created_at
    assert [listed.id async for listed in tasks.list(queue="q")] == [made.id]
    (lease,) = await tasks.claim("q", worker="w")
    assert (lease.id, lease.payload, lease.attempt) == (made.id, {"n": [1, None]}, 1)
    task = await tasks.get(made.id)
    assert task is not None
    assert (task.state, task.worker, task.attempt) == (TaskState.LEASED, "w", 1)
    assert await tasks.get("nobody") is None


@check("queue.order.first_in_first_out", area="H", number=81, needs=TASKS)
async def first_in_first_out(env: Env) -> None:
    """Contract: tasks of equal priority and due instant are claimed in the order of their enqueues."""
    ids = [f"{(n * 37) % 101:03}" for n in range(100)]
    for name in ids[:30]:
        await env.store.tasks.enqueue("q", 1, id=name)
    async with env.store.atomic() as unit:
        for name in ids[30:60]:
            unit.tasks.enqueue("q", 1, id=name)
    for name in ids[60:]:
        await env.store.tasks.enqueue("q", 1, id=name)
    assert await claimed_ids(env, limit=45) == ids[:45]
    assert await claimed_ids(env) == ids[45:]


@check("queue.order.burst", area="H", number=81, needs=TASKS)
async def burst(env: Env) -> None:
    """Contract: order is kept within a large batch, where all instants are equal."""
    ids = [f"{(n * 7919) % 1000:03}" for n in range(900)]
    async with env.store.atomic() as unit:
        for name in ids:
            unit.tasks.enqueue("q", None, id=name)
    found: list[str] = []
    while some := await claimed_ids(env, limit=250):
        found += some
    assert found == ids


@check("queue.order.priority_first", area="H", number=82, needs=TASKS)
async def priority_first(env: Env) -> None:
    """Contract: the lower priority number is claimed first, and one claim gives tasks in that order."""
    for name, priority in (("e", 5), ("z", 9), ("a", 1), ("f", 5), ("b", 1), ("g", 5), ("c", 0)):
        await env.store.tasks.enqueue("q", 1, id=name, priority=priority)
    assert await claimed_ids(env, limit=2) == ["c", "a"]
    assert await claimed_ids(env) == ["b", "e", "f", "g", "z"]


@check("queue.order.due_before_enqueued", area="H", number=82, needs=TASKS)
async def due_before_enqueued(env: Env) -> None:
    """Contract: within a priority the task that was due first comes first."""
    enqueues = [
        Enqueue(TaskRef("late"), "q", b"1", delay=30),
        Enqueue(TaskRef("soon"), "q", b"1", delay=10),
        Enqueue(TaskRef("now"), "q", b"1"),
        Enqueue(TaskRef("urgent"), "q", b"1", delay=30, priority=1),
    ]
    enqueued = await env.commit(Batch(tuple(enqueues)))  # one instant for all, however slow the store is
    await env.until(enqueued.at + 30)
    assert await claimed_ids(env) == ["urgent", "now", "soon", "late"]


@check("queue.order.priority_range", area="H", number=83, needs=TASKS)
async def priority_range(env: Env) -> None:
    """Contract: every priority from the least to the greatest is in order, others are an InvalidArgument."""
    priorities = [0, PRIORITY_MAX, -1, PRIORITY_MIN, 1, 100, -100, 9, 10]
    for priority in priorities:
        await env.store.tasks.enqueue("q", 1, id=str(priority), priority=priority)
    assert await claimed_ids(env) == [str(priority) for priority in sorted(priorities)]
    for unfit in (PRIORITY_MIN - 1, PRIORITY_MAX + 1, cast(int, 1.5), cast(int, "1"), True):
        await raises(InvalidArgument, env.store.tasks.enqueue("q", 1, priority=unfit))


@check("queue.delay.boundary", area="H", number=84, needs=TASKS)
async def delay_boundary(env: Env) -> None:
    """Contract: a delayed task is claimable from its due instant on, and never before."""
    delays = range(20, 50, 2)
    enqueues = tuple(Enqueue(TaskRef(f"{delay}"), "q", b"1", delay=delay) for delay in delays)
    at = (await env.commit(Batch(enqueues))).at
    for delay in delays:
        task = await env.task(f"{delay}")
        assert (task.state, task.due_at) == (TaskState.SCHEDULED, at + delay)
    left = list(delays)
    deadline = time.monotonic() + PATIENCE
    while left:
        reply = await env.claim(ClaimTasks("q", "w", 60_000, 100))
        found = [int(task.ref.id) for task in cast(ClaimedTasks, reply.results[0]).tasks]
        due = [delay for delay in left if at + delay <= reply.at]
        assert found == due, f"{reply.at - at} ms after the enqueue"
        left = left[len(found) :]
        assert time.monotonic() < deadline, "the store's clock does not move"


@check("queue.claim.limit", area="H", number=85, needs=TASKS)
async def claim_limit(env: Env) -> None:
    """Contract: a claim gives no more than its limit, and all there is below it; a limit of 0 is refused."""
    await env.store.tasks.enqueue_many("q", list(range(7)))
    assert len(await claimed_ids(env, limit=1)) == 1
    assert len(await claimed_ids(env, limit=4)) == 4
    assert len(await claimed_ids(env, limit=100)) == 2
    assert await claimed_ids(env) == []
    for unfit in (0, -1, cast(int, 1.5)):
        await raises(InvalidArgument, env.store.tasks.claim("q", worker="w", limit=unfit))


@check("queue.enqueue_many.in_order", area="H", number=88, needs=TASKS)
async def enqueue_many_in_order(env: Env) -> None:
    """Contract: enqueue_many gives one id for each payload, in order, and the tasks are claimed so."""
    made = await env.store.tasks.enqueue_many("q", [{"n": n} for n in range(300)])
    assert len({found.id for found in made}) == 300
    leases = await env.store.tasks.claim("q", worker="w", limit=1000)
    assert [lease.id for lease in leases] == [found.id for found in made]
    assert [lease.payload["n"] for lease in leases] == list(range(300))


@check("queue.payload.any_value", area="H", number=89, needs=TASKS)
async def payload_any_value(env: Env) -> None:
    """Contract: payloads and results are values like any other: falsy, bytes, any text, up to the limit."""
    tasks = env.store.tasks
    payloads: list[Any] = [
        None,
        0,
        "",
        [],
        {},
        False,
        b"",
        bytes(range(256)),
        "\0",
        "🐝",
        2**53 + 1,
        -0.0,
        {"a": [{}]},
    ]
    for payload in payloads:
        made = await tasks.enqueue("q", payload)
        (lease,) = await tasks.claim("q", worker="w")
        assert (type(lease.payload), repr(lease.payload)) == (type(payload), repr(payload))
        await tasks.complete(lease, payload)
        task = await tasks.get(made.id)
        assert task is not None
        assert (type(task.result), repr(task.result)) == (type(payload), repr(payload))
    await raises(LimitExceeded, tasks.enqueue("q", bytes(VALUE_BYTES + 1)))
    await raises(InvalidArgument, tasks.enqueue("q", {1, 2}))


@check("queue.names_are_literal", area="H", number=90, needs=TASKS)
async def names_are_literal(env: Env) -> None:
    """Contract: queues are isolated, their names mean themselves, and an empty one answers at once."""
    names = ["q", "Q", "q:", "q:1", "q%", "q_", "*", "q ", "{q}", "é", "e\u0301"]
    for name in names:
        await env.store.tasks.enqueue(name, name)
    for name in names:
        (lease,) = await env.store.tasks.claim(name, worker="w", limit=10)
        assert lease.payload == name
    async with asyncio.timeout(PATIENCE):
        assert await claimed_ids(env, "never used") == []
    for unfit in ("", "a\0", "\ud800", "n" * 129):
        await raises(InvalidArgument, env.store.tasks.enqueue(unfit, 1))


@check("queue.list.filters", area="H", number=90, needs=TASKS)
async def list_filters(env: Env) -> None:
    """Contract: tasks are listed by queue and by state, each exactly once."""
    tasks = env.store.tasks
    await together(*(tasks.enqueue(f"q{n % 2}", n, id=f"{n:02}") for n in range(20)))
    leases = await tasks.claim("q0", worker="w", limit=4)
    await tasks.complete(leases[0])
    await tasks.cancel("01")
    right = {
        (None, None): [f"{n:02}" for n in range(20)],
        ("q1", None): [f"{n:02}" for n in range(1, 20, 2)],
        ("q0", TaskState.LEASED): sorted(lease.id for lease in leases[1:]),
        (None, TaskState.COMPLETED): [leases[0].id],
        ("q1", TaskState.CANCELLED): ["01"],
        ("q0", TaskState.CANCELLED): [],
    }
    for (queue, state), ids in right.items():
        states = None if state is None else [state]
        assert sorted([task.id async for task in tasks.list(queue=queue, states=states)]) == ids, (
            f"{queue} {state}"
        )


@check("queue.pause", area="H", number=91, needs=TASKS)
async def pause(env: Env) -> None:
    """Contract: nothing is claimed from a paused queue, leases that are out go on, and resume ends it."""
    tasks = env.store.tasks
    await tasks.enqueue_many("q", [1, 2, 3])
    await tasks.enqueue("other", 1)
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.pause("q")
    assert await claimed_ids(env) == []
    assert len(await claimed_ids(env, "other")) == 1
    await tasks.extend(lease, 60)
    await tasks.complete(lease)
    made = await tasks.enqueue("q", 4)
    assert made.created is True
    assert await claimed_ids(env) == []
    assert (await env.store.stats()).queues["q"].paused is True
    await tasks.resume("q")
    assert len(await claimed_ids(env)) == 3


@check("queue.pause.time_goes_on", area="H", number=91, needs=TASKS)
async def pause_time_goes_on(env: Env) -> None:
    """Contract: a claim on a paused queue finds nothing, but takes leases away that are over and makes tasks
    ready that are due.
    """
    tasks = env.store.tasks
    over = await tasks.enqueue("q", 1, max_attempts=2)
    due = await tasks.enqueue("q", 2, delay=0.05)
    await tasks.claim("q", worker="w", lease=0.05)
    await tasks.pause("q")
    await env.until_lease_over(over.id)
    await env.until(await env.now() + 60)
    assert await claimed_ids(env) == []
    for made in (over, due):
        task = await tasks.get(made.id)
        assert task is not None
        assert task.state is TaskState.READY
