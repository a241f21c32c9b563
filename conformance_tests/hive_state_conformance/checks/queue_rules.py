"""Area H, continued: dedupe keys and ids, and area I: what stats and sweep say of queues."""

from __future__ import annotations

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env, raises, together
from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Facility
from hive_state_core.model import TaskState
from hive_state_core.spi import Enqueued, Retention

TASKS = {Facility.TASKS}


@check("queue.dedupe.while_live", area="H", number=86, needs=TASKS)
async def dedupe_while_live(env: Env) -> None:
    """Contract: while a live task of the queue holds a dedupe key, enqueue gives its id and adds nothing."""
    tasks = env.store.tasks
    first = await tasks.enqueue("q", 1, dedupe_key="d")
    assert await tasks.enqueue("q", 2, dedupe_key="d") == Enqueued(first.id, False)
    assert (await tasks.enqueue("other", 2, dedupe_key="d")).created is True
    assert (await tasks.enqueue("q", 2, dedupe_key="D")).created is True
    (lease,) = await tasks.claim("q", worker="w")
    assert lease.id == first.id
    assert await tasks.enqueue("q", 3, dedupe_key="d") == Enqueued(first.id, False)
    await tasks.fail(lease, "again", retry_in=60)
    assert await tasks.enqueue("q", 4, dedupe_key="d") == Enqueued(first.id, False)
    assert [task.payload async for task in tasks.list(queue="q")].count(1) == 1
    assert len([task async for task in tasks.list(queue="q")]) == 2


@check("queue.dedupe.freed_at_end", area="H", number=86, needs=TASKS)
async def dedupe_freed_at_end(env: Env) -> None:
    """Contract: a task that is completed, dead or cancelled holds its dedupe key no longer."""
    tasks = env.store.tasks
    made = [await tasks.enqueue("q", 1, dedupe_key="d")]
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.complete(lease)
    made.append(await tasks.enqueue("q", 2, dedupe_key="d"))
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.fail(lease, "for good", retry_in=None)
    made.append(await tasks.enqueue("q", 3, dedupe_key="d"))
    await tasks.cancel(made[-1].id)
    made.append(await tasks.enqueue("q", 4, dedupe_key="d"))
    assert [found.created for found in made] == [True] * 4
    assert len({found.id for found in made}) == 4


@check("queue.dedupe.race", area="H", number=86, needs=TASKS, tier=Tier.RACE)
async def dedupe_race(env: Env) -> None:
    """Contract: of many enqueues of one dedupe key at once one creates the task, and all get its id."""
    stores = await with_peer(env)
    calls = [stores[n % len(stores)].tasks.enqueue("q", n, dedupe_key="d") for n in range(64)]
    made = await together(*calls)
    assert sum(found.created for found in made) == 1
    assert len({found.id for found in made}) == 1
    assert len(await env.store.tasks.claim("q", worker="w", limit=100)) == 1


@check("queue.dedupe.within_a_unit", area="H", number=87, needs=TASKS)
async def dedupe_within_a_unit(env: Env) -> None:
    """Contract: in one unit the first enqueue of a dedupe key wins, and a key that the unit frees is free."""
    tasks = env.store.tasks
    async with env.store.atomic() as unit:
        first = unit.tasks.enqueue("q", 1, id="first", dedupe_key="d")
        second = unit.tasks.enqueue("q", 2, id="second", dedupe_key="d")
    assert first.result == Enqueued("first", True)
    assert second.result == Enqueued("first", False)
    assert await tasks.get("second") is None
    (lease,) = await tasks.claim("q", worker="w")
    async with env.store.atomic() as unit:
        unit.tasks.complete(lease)
        third = unit.tasks.enqueue("q", 3, id="third", dedupe_key="d")
    assert third.result == Enqueued("third", True)


@check("queue.id.taken_once", area="H", number=87, needs=TASKS)
async def id_taken_once(env: Env) -> None:
    """Contract: enqueue with the id of a task in any state adds nothing and changes nothing."""
    tasks = env.store.tasks
    assert await tasks.enqueue("q", 1, id="t") == Enqueued("t", True)
    before = await env.task("t")
    assert await tasks.enqueue("q", 2, id="t", priority=1) == Enqueued("t", False)
    assert await tasks.enqueue("other", 2, id="t") == Enqueued("t", False)
    assert await env.task("t") == before
    (lease,) = await tasks.claim("q", worker="w", limit=10)
    await tasks.complete(lease)
    assert await tasks.enqueue("q", 3, id="t") == Enqueued("t", False)
    assert await tasks.claim("q", worker="w") == []


@check("queue.redrive.needs_its_dedupe_key", area="I", number=104, needs=TASKS)
async def redrive_needs_its_dedupe_key(env: Env) -> None:
    """Contract: a dead task whose dedupe key another live task holds is not redriven until that one ends."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="dead", dedupe_key="d")
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.fail(lease, "for good", retry_in=None)
    await tasks.enqueue("q", 2, id="live", dedupe_key="d")
    assert not await tasks.redrive("dead")
    assert (await env.task("dead")).state is TaskState.DEAD
    await tasks.cancel("live")
    assert await tasks.redrive("dead")
    assert await tasks.enqueue("q", 3, dedupe_key="d") == Enqueued("dead", False)


@check("queue.stats.agree", area="I", number=110, needs=TASKS)
async def stats_agree(env: Env) -> None:
    """Contract: stats count tasks by queue and state as they are, and name the oldest that is ready."""
    tasks = env.store.tasks
    assert (await env.store.stats()).queues == {}
    await tasks.enqueue_many("q", list(range(6)))
    await tasks.enqueue("q", 1, delay=3600)
    leases = await tasks.claim("q", worker="w", limit=4)
    await tasks.complete(leases[0])
    await tasks.fail(leases[1], "bad", retry_in=None)
    await tasks.fail(leases[2], "later", retry_in=3600)
    stats = (await env.store.stats()).queues["q"]
    found: dict[TaskState, int] = {}
    ready_at = []
    async for task in tasks.list(queue="q"):
        found[task.state] = found.get(task.state, 0) + 1
        if task.state is TaskState.READY:
            ready_at.append((await env.task(task.id)).due_at)
    assert {state: count for state, count in stats.states.items() if count} == found
    twice = {TaskState.READY: 2, TaskState.SCHEDULED: 2}
    assert found == {**twice, TaskState.LEASED: 1, TaskState.COMPLETED: 1, TaskState.DEAD: 1}
    assert stats.oldest_ready_at == min(ready_at)
    assert stats.paused is False


@check("queue.stats.leases_over", area="I", number=110, needs=TASKS)
async def stats_leases_over(env: Env) -> None:
    """Contract: stats count the leases whose time is over until a claim or a sweep has taken them away."""
    tasks = env.store.tasks
    await tasks.enqueue_many("q", [1, 2, 3])
    await tasks.claim("q", worker="w", lease=3600)
    leases = await tasks.claim("q", worker="w", lease=0.05, limit=2)
    for lease in leases:
        await env.until_lease_over(lease.id)
    assert (await env.store.stats()).queues["q"].leases_over == 2
    await tasks.claim("q", worker="w", limit=2)
    assert (await env.store.stats()).queues["q"].leases_over == 0


@check("queue.sweep.spares_the_living", area="I", number=111, needs=TASKS)
async def sweep_spares_the_living(env: Env) -> None:
    """Contract: sweep removes ended tasks only if retention says so, and never a live or leased one."""
    tasks = env.store.tasks
    await tasks.enqueue_many("q", list(range(8)))
    leases = await tasks.claim("q", worker="w", limit=6)
    for lease in leases[:3]:
        await tasks.complete(lease)
    await tasks.fail(leases[3], "bad", retry_in=None)
    await tasks.cancel((await tasks.enqueue("q", 1)).id)
    await env.until(await env.now() + 5)
    assert (await env.store.sweep()).tasks_removed == 0
    swept = await env.store.sweep(retention=Retention(completed=1, cancelled=1))
    assert swept.tasks_removed == 4
    states = sorted([task.state.value async for task in tasks.list(queue="q")])
    assert states == ["dead", "leased", "leased", "ready", "ready"]
    await tasks.complete(leases[4])
    assert len(await tasks.claim("q", worker="w", limit=10)) == 2
    assert (
        await env.store.sweep(retention=Retention(completed=3_600_000, dead=3_600_000))
    ).tasks_removed == 0


@check("queue.sweep.spares_parents", area="I", number=111, needs=TASKS | {Facility.DEPENDENCIES})
async def sweep_spares_parents(env: Env) -> None:
    """Contract: sweep keeps an ended task as long as another one waits for it."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="parent")
    await tasks.enqueue("q", 1, id="child", depends_on=["parent"])
    await tasks.cancel("parent")
    await env.until(await env.now() + 3)
    assert (await env.store.sweep(retention=Retention(cancelled=1))).tasks_removed == 0
    await tasks.redrive("parent")
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.complete(lease)
    assert (await env.task("child")).state is TaskState.READY
    await env.until(await env.now() + 3)
    assert (await env.store.sweep(retention=Retention(completed=1))).tasks_removed == 1


@check("queue.sweep.takes_expired_leases", area="I", number=111, needs=TASKS)
async def sweep_takes_expired_leases(env: Env) -> None:
    """Contract: sweep takes away leases that are over and promotes tasks that are due, as a claim would."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="leased", max_attempts=2)
    await tasks.claim("q", worker="w", lease=0.02)
    await tasks.enqueue("q", 1, id="scheduled", delay=0.01)
    await env.until_lease_over("leased")
    await env.until((await env.task("scheduled")).due_at)
    swept = await env.store.sweep()
    assert (swept.leases_expired, swept.tasks_promoted) == (1, 1)
    leased, scheduled = await env.task("leased"), await env.task("scheduled")
    assert (leased.state, leased.token, leased.attempt) == (TaskState.READY, 0, 1)
    assert scheduled.state is TaskState.READY


@check("queue.unfit_arguments_refused", area="H", number=85, needs=TASKS)
async def unfit_arguments_refused(env: Env) -> None:
    """Contract: delays, leases and attempts that are none are an InvalidArgument, and nothing is written."""
    tasks = env.store.tasks
    await raises(InvalidArgument, tasks.enqueue("q", 1, delay=-1))
    await raises(InvalidArgument, tasks.enqueue("q", 1, delay=float("nan")))
    await raises(InvalidArgument, tasks.enqueue("q", 1, max_attempts=0))
    await raises(InvalidArgument, tasks.enqueue("q", 1, dedupe_key=""))
    await raises(InvalidArgument, tasks.enqueue("q", 1, id="a\0"))
    await raises(InvalidArgument, tasks.claim("q", worker="w", lease=0))
    await raises(InvalidArgument, tasks.claim("q", worker=""))
    assert [task async for task in tasks.list(queue="q")] == []
