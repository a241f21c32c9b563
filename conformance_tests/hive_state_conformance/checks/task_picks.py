"""Area I, continued: taking one task by its id, and changing priorities."""

from __future__ import annotations

import asyncio
from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.model import RecordRef, TaskRef, TaskState
from hive_state_core.spi import Batch, Cancel, Complete, Enqueue, Prioritize, Put, Take

TASKS = {Facility.TASKS}


async def _take(env: Env, id: str, worker: str = "w") -> int:
    return cast(int, (await env.commit(Batch((Take(TaskRef(id), worker, 60_000),)))).results[0])


@check("queue.take.leases_that_one", area="I", number=92, needs=TASKS)
async def take_leases_that_one(env: Env) -> None:
    """Contract: a task taken by id is leased as by a claim, whatever stands before it in its queue."""
    for name in "abc":
        await env.commit(Batch((Enqueue(TaskRef(name), "q", b"1", max_attempts=3),)))
    taken = await env.commit(Batch((Take(TaskRef("b"), "picker", 60_000),)))
    task = await env.task("b")
    assert taken.results == (task.token,)
    assert task.token == task.version == taken.version != 0
    assert (task.state, task.worker, task.attempt) == (TaskState.LEASED, "picker", 1)
    assert task.lease_until == taken.at + 60_000
    assert [each.ref.id for each in await env.claim_some("q")] == ["a", "c"]
    await env.commit(Batch((Complete(task.ref, task.token),)))
    assert (await env.task("b")).state is TaskState.COMPLETED


@check("queue.take.only_what_is_ready", area="I", number=92, needs=TASKS)
async def take_only_what_is_ready(env: Env) -> None:
    """Contract: a leased, scheduled, ended or absent task is not taken, and the attempt changes nothing."""
    for name in ("leased", "later", "ended"):
        delay = 60_000 if name == "later" else 0
        await env.commit(Batch((Enqueue(TaskRef(name), name, b"1", delay=delay),)))
    await env.claim_some("leased")
    await env.commit(Batch((Cancel(TaskRef("ended")),)))
    before = [await env.task(name) for name in ("leased", "later", "ended")]
    for name in ("leased", "later", "ended", "nobody"):
        tried = await env.commit(Batch((Take(TaskRef(name), "w", 60_000),)))
        assert (tried.results, tried.version) == ((0,), 0), name
    assert [await env.task(name) for name in ("leased", "later", "ended")] == before


@check("queue.take.what_became_due", area="I", number=92, needs=TASKS)
async def take_what_became_due(env: Env) -> None:
    """Contract: a scheduled task can be taken from its due instant on, though no claim promoted it."""
    await env.commit(Batch((Enqueue(TaskRef("t"), "q", b"1", delay=10),)))
    await env.until((await env.task("t")).due_at)
    assert await _take(env, "t")


@check("queue.take.ignores_pause", area="I", number=91, needs=TASKS)
async def take_ignores_pause(env: Env) -> None:
    """Contract: who names a task means it: it is taken from a paused queue too."""
    await env.store.tasks.enqueue("q", 1, id="t")
    await env.store.tasks.pause("q")
    assert await _take(env, "t")


@check("queue.take.ignores_requirements", area="I", number=91, needs=TASKS | {Facility.REQUIREMENTS})
async def take_ignores_requirements(env: Env) -> None:
    """Contract: a task is taken by its id whatever capabilities it requires."""
    await env.store.tasks.enqueue("q", 1, id="t", requires=["gpu"])
    assert await _take(env, "t")


@check("queue.take.one_of_many", area="I", number=92, tier=Tier.RACE, needs=TASKS)
async def take_one_of_many(env: Env) -> None:
    """Contract: of many that take or claim one task at once, one gets it."""
    stores = await with_peer(env)
    for round in range(10):
        id = f"t{round}"
        await env.store.tasks.enqueue(id, 1, id=id)
        takes = [stores[n % len(stores)].tasks.take(id, worker=f"w{n}") for n in range(8)]
        claims = [stores[n % len(stores)].tasks.claim(id, worker=f"c{n}") for n in range(8)]
        taken, claimed = await asyncio.gather(asyncio.gather(*takes), asyncio.gather(*claims))
        assert len([lease for lease in taken if lease]) + sum(map(len, claimed)) == 1


@check("queue.take.in_a_batch", area="I", number=92, needs=TASKS)
async def take_in_a_batch(env: Env) -> None:
    """Contract: a batch that takes a task commits its other operations with it, taken or not."""
    await env.store.tasks.enqueue("q", 1, id="t")
    record = RecordRef("c", "k")
    ops = (Put(record, b"1"), Take(TaskRef("t"), "w", 60_000), Take(TaskRef("nobody"), "w", 60_000))
    done = await env.commit(Batch(ops))
    assert done.results == (None, done.version, 0)
    assert (await env.task("t")).token == done.version
    kept = await env.record("c", "k")
    assert kept is not None
    assert kept.version == done.version


@check("queue.priority.can_be_changed", area="H", number=82, needs=TASKS)
async def priority_can_be_changed(env: Env) -> None:
    """Contract: a new priority counts from the next claim on; among equals the old order stays."""
    for name in "abc":
        await env.commit(Batch((Enqueue(TaskRef(name), "q", b"1", max_attempts=3),)))
    before = await env.task("c")
    changed = await env.commit(Batch((Prioritize(TaskRef("c"), 1),)))
    after = await env.task("c")
    assert changed.results == (True,)
    assert (after.priority, after.order, after.due_at) == (1, before.order, before.due_at)
    assert after.version == changed.version > before.version
    await env.commit(Batch((Prioritize(TaskRef("a"), 7),)))
    await env.commit(Batch((Prioritize(TaskRef("a"), 5),)))
    assert [task.ref.id for task in await env.claim_some("q")] == ["c", "a", "b"]


@check("queue.priority.of_a_leased_task", area="H", number=82, needs=TASKS)
async def priority_of_a_leased_task(env: Env) -> None:
    """Contract: the lease goes on when the priority changes, which counts when the task comes back."""
    for name in "ab":
        await env.store.tasks.enqueue("q", 1, id=name)
    (lease,) = await env.store.tasks.claim("q", worker="w")
    assert await env.store.tasks.prioritize("a", 9)
    await env.store.tasks.release(lease)
    assert [task.ref.id for task in await env.claim_some("q")] == ["b", "a"]


@check("queue.priority.not_of_what_ended", area="H", number=82, needs=TASKS)
async def priority_not_of_what_ended(env: Env) -> None:
    """Contract: a task that has ended, or does not exist, keeps its priority; the answer says so."""
    await env.store.tasks.enqueue("q", 1, id="t")
    await env.store.tasks.cancel("t")
    before = await env.task("t")
    for name in ("t", "nobody"):
        tried = await env.commit(Batch((Prioritize(TaskRef(name), 1),)))
        assert (tried.results, tried.version) == ((False,), 0)
    assert await env.task("t") == before
