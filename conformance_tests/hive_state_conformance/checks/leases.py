"""Area I: a lease belongs to one claim, and only its holder may end the task."""

from __future__ import annotations

import time
from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_core.errors import LeaseLost
from hive_state_core.features import Facility
from hive_state_core.leases import Lease
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import (
    LEASE_EXPIRED,
    Batch,
    ClaimedTasks,
    ClaimTasks,
    Complete,
    Enqueue,
    Extend,
    Extended,
)
from hive_state_core.store import Store

TASKS = {Facility.TASKS}


async def lost_and_found(env: Env, *, worker: str = "second") -> tuple[Lease, Lease]:
    """A lease that ran out, and that of the claim which took the task over."""
    await env.store.tasks.enqueue("q", 1, id="t")
    (old,) = await env.store.tasks.claim("q", worker="first", lease=0.02)
    await env.until_lease_over("t")
    (new,) = await env.store.tasks.claim("q", worker=worker, lease=60)
    return old, new


@check("queue.claim.never_shared", area="I", number=92, needs=TASKS, tier=Tier.RACE)
async def claim_never_shared(env: Env) -> None:
    """Contract: many workers at once never hold the same task, and together get all of them."""
    stores = await with_peer(env)
    made = await env.store.tasks.enqueue_many("q", list(range(240)))
    held: list[str] = []

    async def work(store: Store, limit: int) -> None:
        while leases := await store.tasks.claim("q", worker=f"w{limit}", limit=limit):
            held.extend(lease.id for lease in leases)
            await together(*(store.tasks.complete(lease) for lease in leases))

    await together(*(work(stores[n % len(stores)], n % 4 + 1) for n in range(12)))
    assert len(held) == len(set(held)), "a task was handed out twice"
    assert sorted(held) == sorted(found.id for found in made)
    assert (await env.store.stats()).queues["q"].states == {TaskState.COMPLETED: 240}


@check("queue.lease.starts_at_claim", area="I", number=93, needs=TASKS)
async def lease_starts_at_claim(env: Env) -> None:
    """Contract: a lease counts from the claim, however long the task was due."""
    await env.commit(Batch((Enqueue(TaskRef("t"), "q", b"1"), Enqueue(TaskRef("u"), "q", b"1", delay=5))))
    await env.until(await env.now() + 30)
    reply = await env.claim(ClaimTasks("q", "w", 60_000, 2))
    tasks = cast(ClaimedTasks, reply.results[0]).tasks
    assert [task.lease_until for task in tasks] == [reply.at + 60_000] * 2
    assert [(await env.task(task.ref.id)).lease_until for task in tasks] == [reply.at + 60_000] * 2
    assert [task.token for task in tasks] == [task.version for task in tasks]


@check("queue.lease.boundary", area="I", number=94, needs=TASKS)
async def lease_boundary(env: Env) -> None:
    """Contract: a task is handed out again from the instant its lease ends, and never before."""
    count = 12
    await env.commit(
        Batch(tuple(Enqueue(TaskRef(f"{n:02}"), "q", b"1", max_attempts=9) for n in range(count)))
    )
    first = await env.claim(*(ClaimTasks("q", "w", 30 + 3 * n) for n in range(count)))
    leased = [task for found in first.results for task in cast(ClaimedTasks, found).tasks]
    assert [task.lease_until for task in leased] == [first.at + 30 + 3 * n for n in range(count)]
    ends = {task.ref.id: cast(int, task.lease_until) for task in leased}
    deadline = time.monotonic() + PATIENCE
    while ends:
        reply = await env.claim(ClaimTasks("q", "w", 60_000, 100))
        found = {task.ref.id for task in cast(ClaimedTasks, reply.results[0]).tasks}
        over = {name for name, end in ends.items() if end <= reply.at}
        assert found == over
        ends = {name: end for name, end in ends.items() if name not in over}
        assert time.monotonic() < deadline, "the store's clock does not move"


@check("queue.lease.expiry_hands_out_again", area="I", number=94, needs=TASKS)
async def expiry_hands_out_again(env: Env) -> None:
    """Contract: after its lease is over a task is claimed anew, with one attempt more and a new token."""
    old, new = await lost_and_found(env)
    assert (old.id, old.attempt) == ("t", 1)
    assert (new.id, new.attempt) == ("t", 2)
    assert new.token > old.token
    task = await env.task("t")
    assert (task.worker, task.error) == ("second", LEASE_EXPIRED)


@check("queue.lease.late_complete_fenced", area="I", number=95, needs=TASKS)
async def late_complete_fenced(env: Env) -> None:
    """Contract: completing with a lease that was taken over is LeaseLost and leaves the new one alone."""
    old, new = await lost_and_found(env)
    error = cast(LeaseLost, await raises(LeaseLost, env.store.tasks.complete(old, "late")))
    assert (error.expected, error.actual) == (old.token, new.token)
    task = await env.task("t")
    assert (task.state, task.token, task.result) == (TaskState.LEASED, new.token, None)
    await env.store.tasks.complete(new, "right")
    done = await env.store.tasks.get("t")
    assert done is not None
    assert (done.state, done.result) == (TaskState.COMPLETED, "right")


@check("queue.lease.late_verbs_fenced", area="I", number=96, needs=TASKS)
async def late_verbs_fenced(env: Env) -> None:
    """Contract: fail, release and extend with a lease that was taken over are LeaseLost, without effect."""
    old, new = await lost_and_found(env)
    before = await env.task("t")
    await raises(LeaseLost, env.store.tasks.fail(old, "late", retry_in=0))
    await raises(LeaseLost, env.store.tasks.fail(old, "late", retry_in=None))
    await raises(LeaseLost, env.store.tasks.release(old))
    await raises(LeaseLost, env.store.tasks.extend(old, 3600))
    assert await env.task("t") == before
    await env.store.tasks.complete(new)


@check("queue.lease.late_in_a_unit_fenced", area="I", number=95, needs=TASKS)
async def late_in_a_unit_fenced(env: Env) -> None:
    """Contract: a unit that completes with a lease that was taken over is LeaseLost and writes nothing."""
    old, _ = await lost_and_found(env)

    async def late() -> None:
        async with env.store.atomic() as unit:
            unit.records.put("results", "t", "late")
            unit.tasks.complete(old)

    await raises(LeaseLost, late)
    assert await env.store.records.get("results", "t") is None


@check("queue.lease.late_but_not_taken", area="I", number=97, needs=TASKS)
async def late_but_not_taken(env: Env) -> None:
    """Contract: a lease that is over but was not taken away yet still completes its task."""
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w", lease=0.01)
    await env.until_lease_over("t")
    await env.store.tasks.complete(lease, "late, but right")
    assert (await env.task("t")).state is TaskState.COMPLETED


@check("queue.lease.same_worker_is_fenced_too", area="I", number=98, needs=TASKS)
async def same_worker_is_fenced_too(env: Env) -> None:
    """Contract: a worker that claims its own lost task again cannot use its old lease."""
    old, new = await lost_and_found(env, worker="first")
    await raises(LeaseLost, env.store.tasks.complete(old))
    await raises(LeaseLost, env.store.tasks.extend(old, 60))
    await env.store.tasks.complete(new)


@check("queue.lease.release_ends_it", area="I", number=98, needs=TASKS)
async def release_ends_it(env: Env) -> None:
    """Contract: a lease is worth nothing after release, before and after the next claim."""
    await env.store.tasks.enqueue("q", 1)
    (old,) = await env.store.tasks.claim("q", worker="w")
    await env.store.tasks.release(old)
    error = cast(LeaseLost, await raises(LeaseLost, env.store.tasks.complete(old)))
    assert (error.expected, error.actual) == (old.token, 0)
    (new,) = await env.store.tasks.claim("q", worker="w")
    assert new.token > old.token
    await raises(LeaseLost, env.store.tasks.complete(old))


@check("queue.extend.never_shortens", area="I", number=99, needs=TASKS)
async def extend_never_shortens(env: Env) -> None:
    """Contract: extend counts from now, keeps the token, and never brings the end nearer."""
    await env.commit(Batch((Enqueue(TaskRef("t"), "q", b"1"),)))
    (task,) = await env.claim_some("q", lease=60_000)
    shorter = await env.commit(Batch((Extend(task.ref, task.token, 1000),)))
    assert cast(Extended, shorter.results[0]).lease_until == task.lease_until
    longer = await env.commit(Batch((Extend(task.ref, task.token, 90_000),)))
    assert cast(Extended, longer.results[0]).lease_until == longer.at + 90_000
    after = await env.task("t")
    assert (after.lease_until, after.token, after.attempt) == (longer.at + 90_000, task.token, 1)
    assert await env.claim_some("q") == ()
    await env.commit(Batch((Complete(task.ref, task.token),)))


@check("queue.extend.keeps_it_leased", area="I", number=99, needs=TASKS)
async def extend_keeps_it_leased(env: Env) -> None:
    """Contract: a lease that was extended outlives the instant at which it would have ended."""
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w", lease=0.03)
    end = lease.until_ms
    try:
        await env.store.tasks.extend(lease, 60)
    except LeaseLost as error:
        raise AssertionError("lost, though nobody took the lease away") from error
    await env.until(end)
    assert await env.store.tasks.claim("q", worker="other") == []
    await env.store.tasks.complete(lease)


@check("queue.extend.revives_nothing", area="I", number=99, needs=TASKS)
async def extend_revives_nothing(env: Env) -> None:
    """Contract: extending an ended, released or unknown task is LeaseLost, and it stays as it is."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="t")
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.complete(lease)
    before = await env.task("t")
    await raises(LeaseLost, tasks.extend(lease, 60))
    assert await env.task("t") == before
    refused = await env.refused(Batch((Extend(TaskRef("nobody"), 7, 1000),)))
    assert (refused.ref, refused.expected, refused.actual) == (TaskRef("nobody"), 7, 0)


@check("queue.lease.complete_once", area="I", number=100, needs=TASKS)
async def complete_once(env: Env) -> None:
    """Contract: completing a second time is LeaseLost, and the first result stays."""
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w")
    await env.store.tasks.complete(lease, 1)
    await raises(LeaseLost, env.store.tasks.complete(lease, 2))
    await raises(LeaseLost, env.store.tasks.fail(lease, "late", retry_in=0))
    task = await env.store.tasks.get("t")
    assert task is not None
    assert (task.state, task.result) == (TaskState.COMPLETED, 1)
    assert task.finished_at is not None
