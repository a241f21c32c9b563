"""Area I, continued: requirements, and tasks that wait for others."""

from __future__ import annotations

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.env import Env, raises, together
from hive_state_core.errors import NotFound
from hive_state_core.features import Facility
from hive_state_core.model import TaskState

REQUIREMENTS = {Facility.TASKS, Facility.REQUIREMENTS}
DEPENDENCIES = {Facility.TASKS, Facility.DEPENDENCIES}


async def finish(env: Env, *ids: str) -> None:
    """Claim and complete these tasks, which must be all that is claimable."""
    leases = await env.store.tasks.claim("q", worker="w", limit=100)
    assert sorted(lease.id for lease in leases) == sorted(ids)
    for lease in leases:
        await env.store.tasks.complete(lease)


@check("queue.requires.only_the_capable", area="I", number=108, needs=REQUIREMENTS)
async def requires_only_the_capable(env: Env) -> None:
    """Contract: a claim gives only tasks all of whose requirements it covers, and leaves the others alone."""
    tasks = env.store.tasks
    for name, requires in (
        ("none", ()),
        ("plan", ("plan",)),
        ("both", ("plan", "code")),
        ("code", ("code",)),
    ):
        await tasks.enqueue("q", 1, id=name, requires=requires)
    untouched = await env.task("both")

    async def claimed(*capabilities: str, limit: int = 10) -> list[str]:
        return [
            lease.id for lease in await tasks.claim("q", worker="w", capabilities=capabilities, limit=limit)
        ]

    assert await claimed("Plan", "plan ", "sing") == ["none"]
    assert await claimed() == []
    assert await claimed("code") == ["code"]
    assert await env.task("both") == untouched
    assert await claimed("code", "sing", "plan", limit=1) == ["plan"]
    assert await claimed("plan", "code") == ["both"]


@check("queue.requires.does_not_block", area="I", number=108, needs=REQUIREMENTS)
async def requires_does_not_block(env: Env) -> None:
    """Contract: many tasks that nobody can do stand in nobody's way, and order holds among the others."""
    async with env.store.atomic() as unit:
        for n in range(600):
            unit.tasks.enqueue("q", n, priority=1, requires=[f"skill{n % 7}"])
        for n in range(5):
            unit.tasks.enqueue("q", n, id=f"t{n}", priority=9 - n)
    found = await env.store.tasks.claim("q", worker="w", limit=3, capabilities=["other"])
    assert [lease.id for lease in found] == ["t4", "t3", "t2"]


@check("queue.depends.released_by_the_last_parent", area="I", number=109, needs=DEPENDENCIES)
async def released_by_the_last_parent(env: Env) -> None:
    """Contract: a task waits until all its parents are completed, and is then claimable at once."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="a")
    await tasks.enqueue("q", 1, id="b")
    await tasks.enqueue("q", 1, id="child", depends_on=["a", "b"])
    child = await tasks.get("child")
    assert child is not None
    assert (child.state, child.unmet, sorted(child.depends_on)) == (TaskState.WAITING, 2, ["a", "b"])
    first, second = await tasks.claim("q", worker="w", limit=10)
    await tasks.complete(first)
    waiting = await env.task("child")
    assert (waiting.state, waiting.unmet) == (TaskState.WAITING, 1)
    await tasks.complete(second)
    ready, parent = await env.task("child"), await env.task(second.id)
    assert (ready.state, ready.unmet, ready.version) == (TaskState.READY, 0, parent.version)
    await finish(env, "child")


@check("queue.depends.completed_parents_count_not", area="I", number=109, needs=DEPENDENCIES)
async def completed_parents_count_not(env: Env) -> None:
    """Contract: a task whose parents are completed already is ready at once; one without parent is
    NotFound.
    """
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="a")
    await finish(env, "a")
    await tasks.enqueue("q", 1, id="child", depends_on=["a"])
    assert (await env.task("child")).state is TaskState.READY
    await raises(NotFound, tasks.enqueue("q", 1, id="orphan", depends_on=["a", "nobody"]))
    assert await tasks.get("orphan") is None


@check("queue.depends.dead_parent_holds", area="I", number=109, needs=DEPENDENCIES)
async def dead_parent_holds(env: Env) -> None:
    """Contract: children of a dead or cancelled parent wait, visible, until it is redriven and completed."""
    tasks = env.store.tasks
    for parent in ("dead", "cancelled"):
        await tasks.enqueue("q", 1, id=parent)
        await tasks.enqueue("q", 1, id=f"child of {parent}", depends_on=[parent])
    await tasks.cancel("cancelled")
    (lease,) = await tasks.claim("q", worker="w", limit=10)
    await tasks.fail(lease, "bad", retry_in=None)
    assert await tasks.claim("q", worker="w", limit=10) == []
    waiting = [task.id async for task in tasks.list(states=[TaskState.WAITING])]
    assert sorted(waiting) == ["child of cancelled", "child of dead"]
    await tasks.redrive("dead")
    await tasks.redrive("cancelled")
    await finish(env, "dead", "cancelled")
    await finish(env, "child of dead", "child of cancelled")


@check("queue.depends.delay_is_obeyed", area="I", number=109, needs=DEPENDENCIES)
async def delay_is_obeyed(env: Env) -> None:
    """Contract: a delayed task that waited for a parent still waits for its due instant."""
    await env.store.tasks.enqueue("q", 1, id="a")
    await env.store.tasks.enqueue("q", 1, id="child", depends_on=["a"], delay=3600)
    before = await env.task("child")
    await finish(env, "a")
    after = await env.task("child")
    assert (after.state, after.due_at) == (TaskState.SCHEDULED, before.due_at)
    assert await env.store.tasks.claim("q", worker="w") == []


@check("queue.depends.cancelled_child_stays", area="I", number=109, needs=DEPENDENCIES)
async def cancelled_child_stays(env: Env) -> None:
    """Contract: a cancelled child stays so when its parent completes, and a redrive finds it free."""
    await env.store.tasks.enqueue("q", 1, id="a")
    await env.store.tasks.enqueue("q", 1, id="child", depends_on=["a"])
    await env.store.tasks.cancel("child")
    await finish(env, "a")
    child = await env.task("child")
    assert (child.state, child.unmet) == (TaskState.CANCELLED, 0)
    await env.store.tasks.redrive("child")
    await finish(env, "child")


@check("queue.depends.many_parents_at_once", area="I", number=109, needs=DEPENDENCIES, tier=Tier.RACE)
async def many_parents_at_once(env: Env) -> None:
    """Contract: a child of many parents that complete at once is released exactly once, by the last."""
    parents = [f"p{n:02}" for n in range(24)]
    for parent in parents:
        await env.store.tasks.enqueue("q", 1, id=parent)
    await env.store.tasks.enqueue("q", 1, id="child", depends_on=parents)
    leases = await env.store.tasks.claim("q", worker="w", limit=100)
    await together(*(env.store.tasks.complete(lease) for lease in leases))
    child = await env.task("child")
    assert (child.state, child.unmet) == (TaskState.READY, 0)
    await finish(env, "child")
