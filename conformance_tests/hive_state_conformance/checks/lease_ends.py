"""Area I, continued: attempts, failures, dead tasks, cancellation."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, settled, together
from hive_state_core.errors import HiveStateError, LeaseLost
from hive_state_core.features import Facility
from hive_state_core.limits import ERROR_BYTES
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import LEASE_EXPIRED, Batch, Cancel, Enqueue, Fail, Release

TASKS = {Facility.TASKS}


@check("queue.attempts.used_up_by_expiry", area="I", number=102, needs=TASKS)
async def used_up_by_expiry(env: Env) -> None:
    """Contract: a task whose last lease runs out is dead, not handed out for ever."""
    await env.store.tasks.enqueue("q", "payload", id="t", max_attempts=2)
    for attempt in (1, 2):
        (lease,) = await env.store.tasks.claim("q", worker="w", lease=0.01)
        assert lease.attempt == attempt
        await env.until_lease_over("t")
    assert await env.store.tasks.claim("q", worker="w") == []
    task = await env.task("t")
    assert (task.state, task.attempt, task.error) == (TaskState.DEAD, 2, LEASE_EXPIRED)
    assert (task.token, task.worker, task.lease_until, task.payload) == (0, None, None, b'"payload"')
    assert task.finished_at is not None


@check("queue.attempts.used_up_by_failure", area="I", number=103, needs=TASKS)
async def used_up_by_failure(env: Env) -> None:
    """Contract: a task is tried max_attempts times, then it is dead with its last error."""
    await env.store.tasks.enqueue("q", 1, id="t", max_attempts=3)
    for attempt in (1, 2, 3):
        (lease,) = await env.store.tasks.claim("q", worker="w")
        assert lease.attempt == attempt
        await env.store.tasks.fail(lease, f"failure {attempt}", retry_in=0)
    task = await env.task("t")
    assert (task.state, task.attempt, task.error) == (TaskState.DEAD, 3, "failure 3")
    assert await env.store.tasks.claim("q", worker="w") == []


@check("queue.fail.obeys_the_delay", area="I", number=103, needs=TASKS)
async def fail_obeys_the_delay(env: Env) -> None:
    """Contract: a failed task is due again exactly retry_in after the failure, and keeps its error."""
    await env.commit(Batch((Enqueue(TaskRef("t"), "q", b"1", max_attempts=5),)))
    (task,) = await env.claim_some("q")
    failed = await env.commit(Batch((Fail(task.ref, task.token, "boom", 60_000),)))
    assert failed.results == (TaskState.SCHEDULED,)
    after = await env.task("t")
    assert (after.state, after.due_at, after.error) == (TaskState.SCHEDULED, failed.at + 60_000, "boom")
    assert (after.token, after.worker, after.lease_until) == (0, None, None)
    assert await env.claim_some("q") == ()


@check("queue.fail.at_once", area="I", number=103, needs=TASKS)
async def fail_at_once(env: Env) -> None:
    """Contract: a task that fails with a retry after 0 is claimable at once, with its error at hand."""
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w")
    await env.store.tasks.fail(lease, "once", retry_in=0)
    (again,) = await env.store.tasks.claim("q", worker="w")
    assert (again.id, again.attempt) == ("t", 2)
    await env.store.tasks.complete(again)
    assert (await env.task("t")).error == "once"


@check("queue.release.costs_no_attempt", area="I", number=103, needs=TASKS)
async def release_costs_no_attempt(env: Env) -> None:
    """Contract: a released task loses no attempt and goes back to its old place, or waits for the delay."""
    for name in "abc":
        await env.store.tasks.enqueue("q", 1, id=name, max_attempts=1)
    for _ in range(3):
        (lease,) = await env.store.tasks.claim("q", worker="w")
        assert (lease.id, lease.attempt) == ("a", 1)
        await env.store.tasks.release(lease)
        assert (await env.task("a")).attempt == 0
    first, *_ = await env.claim_some("q", limit=1)
    released = await env.commit(Batch((Release(first.ref, first.token, 60_000),)))
    after = await env.task("a")
    assert (after.state, after.due_at) == (TaskState.SCHEDULED, released.at + 60_000)
    assert [task.ref.id for task in await env.claim_some("q")] == ["b", "c"]


@check("queue.dead.can_be_redriven", area="I", number=104, needs=TASKS)
async def dead_can_be_redriven(env: Env) -> None:
    """Contract: a dead task keeps payload and error; redrive gives it all its attempts anew, once."""
    tasks = env.store.tasks
    await tasks.enqueue("q", {"n": 1}, id="t", max_attempts=2)
    (lease,) = await tasks.claim("q", worker="w")
    assert not await tasks.redrive("t")
    await tasks.fail(lease, "poison", retry_in=None)
    dead = await tasks.get("t")
    assert dead is not None
    assert (dead.state, dead.payload, dead.error, dead.attempt) == (TaskState.DEAD, {"n": 1}, "poison", 1)
    assert dead.finished_at is not None
    assert await tasks.redrive("t")
    assert not await tasks.redrive("t")
    ready = await env.task("t")
    assert (ready.state, ready.attempt, ready.error, ready.finished_at) == (
        TaskState.READY,
        0,
        "poison",
        None,
    )
    (lease,) = await tasks.claim("q", worker="w")
    assert lease.attempt == 1
    await tasks.complete(lease)
    assert not await tasks.redrive("t")
    assert (await env.task("t")).state is TaskState.COMPLETED


@check("queue.cancel.before_claim", area="I", number=105, needs=TASKS)
async def cancel_before_claim(env: Env) -> None:
    """Contract: a cancelled task that was ready or scheduled is never handed out, and can be redriven."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="ready")
    await tasks.enqueue("q", 1, id="scheduled", delay=0.01)
    for name in ("ready", "scheduled"):
        assert (await env.commit(Batch((Cancel(TaskRef(name)),)))).results == (TaskState.CANCELLED,)
    await tasks.cancel("ready")
    assert (await env.commit(Batch((Cancel(TaskRef("nobody")),)))).results == (None,)
    await env.until((await env.task("scheduled")).due_at)
    assert await tasks.claim("q", worker="w") == []
    task = await env.task("ready")
    assert (task.state, task.finished_at is not None) == (TaskState.CANCELLED, True)
    assert await tasks.redrive("ready")
    (lease,) = await tasks.claim("q", worker="w")
    assert lease.id == "ready"


@check("queue.cancel.while_leased", area="I", number=105, needs=TASKS)
async def cancel_while_leased(env: Env) -> None:
    """Contract: a holder learns at the next extend that its task should be cancelled, and may still
    complete.
    """
    tasks = env.store.tasks
    await tasks.enqueue_many("q", [1, 2])
    first, second = await tasks.claim("q", worker="w", limit=2)
    for lease in (first, second):
        assert (await env.commit(Batch((Cancel(TaskRef(lease.id)),)))).results == (TaskState.LEASED,)
        assert lease.cancel_requested is False
        await tasks.extend(lease, 60)
        assert lease.cancel_requested is True
    await tasks.complete(first, "done all the same")
    await tasks.fail(second, "stopped", retry_in=0)
    assert (await env.task(first.id)).state is TaskState.COMPLETED
    assert (await env.task(second.id)).state is TaskState.CANCELLED
    assert await tasks.claim("q", worker="w") == []


@check("queue.cancel.when_the_lease_ends", area="I", number=105, needs=TASKS)
async def cancel_when_the_lease_ends(env: Env) -> None:
    """Contract: a task to be cancelled whose lease is released or runs out is cancelled, not tried again."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="released")
    await tasks.enqueue("q", 1, id="expired")
    (released,) = await tasks.claim("q", worker="w")
    await tasks.claim("q", worker="w", lease=0.01)
    await tasks.cancel("released")
    await tasks.cancel("expired")
    await tasks.release(released)
    await env.until_lease_over("expired")
    assert await tasks.claim("q", worker="w") == []
    for name in ("released", "expired"):
        assert (await env.task(name)).state is TaskState.CANCELLED, name


@check("queue.end.races_with_sweep", area="I", number=101, needs=TASKS, tier=Tier.RACE)
async def races_with_sweep(env: Env) -> None:
    """Contract: a task whose completion was acknowledged stays completed, however many sweeps and claims take
    leases away at that moment; one that was refused is there to be done again.
    """
    stores = await with_peer(env)
    tasks = env.store.tasks
    await tasks.enqueue_many("q", list(range(60)), max_attempts=1000)
    done: set[str] = set()
    working = True
    turns = count()

    async def work() -> None:
        while leases := await tasks.claim("q", worker="w", lease=0.004 + next(turns) % 20 * 0.003, limit=6):
            await env.harness.sleep(0.003)
            for lease, answer in zip(leases, await settled(*map(tasks.complete, leases)), strict=True):
                assert answer is None or isinstance(answer, LeaseLost)
                assert answer is not None or lease.id not in done, "completed twice"
                if answer is None:
                    done.add(lease.id)

    async def sweep() -> None:
        while working:
            await stores[-1].sweep()
            await asyncio.sleep(0.001)

    sweeper = asyncio.ensure_future(sweep())
    async with asyncio.timeout(PATIENCE * 2):
        while len(done) < 60:
            await together(*(work() for _ in range(4)))
            await asyncio.sleep(0.005)
    working = False
    await sweeper
    assert (await env.store.stats()).queues["q"].states == {TaskState.COMPLETED: 60}


@check("queue.redrive.once", area="I", number=104, needs=TASKS, tier=Tier.RACE)
async def redrive_once(env: Env) -> None:
    """Contract: of many who redrive a dead task at once one does it, and it is done once more."""
    stores = await with_peer(env)
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w")
    await env.store.tasks.fail(lease, "bad", retry_in=None)
    made = await together(*(stores[n % len(stores)].tasks.redrive("t") for n in range(16)))
    assert sorted(made) == [False] * 15 + [True]
    (again,) = await env.store.tasks.claim("q", worker="w", limit=9)
    assert (again.id, again.attempt) == ("t", 1)


@check("queue.end.one_winner", area="I", number=106, needs=TASKS, tier=Tier.RACE)
async def end_one_winner(env: Env) -> None:
    """Contract: of complete, fail and release with one lease at once one wins, the others are LeaseLost."""
    stores = await with_peer(env)
    for turn in range(8):
        name = f"t{turn}"
        await env.store.tasks.enqueue("q", 1, id=name)
        (lease,) = await env.store.tasks.claim("q", worker="w")
        one, two = stores[0].tasks, stores[-1].tasks
        answers = await settled(
            one.complete(lease, 1),
            two.complete(lease, 2),
            one.fail(lease, "f", retry_in=None),
            two.release(lease, delay=3600),
        )
        lost = [answer for answer in answers if isinstance(answer, LeaseLost)]
        assert len(lost) == 3, f"{answers}"
        winner = next(n for n, answer in enumerate(answers) if not isinstance(answer, HiveStateError))
        state = (TaskState.COMPLETED, TaskState.COMPLETED, TaskState.DEAD, TaskState.SCHEDULED)[winner]
        assert (await env.task(name)).state is state


@check("queue.fail.any_error_text", area="I", number=107, needs=TASKS)
async def fail_any_error_text(env: Env) -> None:
    """Contract: no error text breaks the failing of a task: long ones are cut, odd ones are kept or
    replaced.
    """
    for n, text in enumerate(
        ("x" * (5 * ERROR_BYTES), "é" * ERROR_BYTES, "🐝\n\t'\"%", "a\0b", "\ud800", "")
    ):
        await env.store.tasks.enqueue("q", 1, id=f"t{n}")
        (lease,) = await env.store.tasks.claim("q", worker="w")
        await env.store.tasks.fail(lease, text, retry_in=None)
        task = await env.task(f"t{n}")
        assert task.state is TaskState.DEAD
        assert 0 < len(cast(str, task.error).encode()) <= ERROR_BYTES
    assert (await env.task("t2")).error == "🐝\n\t'\"%"
