"""Tasks in an atomic unit."""

from __future__ import annotations

import copy

import pytest

from hive_state_core import Store
from hive_state_core.errors import Conflict, LeaseLost
from hive_state_core.model import TaskState

from .leasing import leased, task_of

pytestmark = pytest.mark.prompt


async def test_a_unit_ends_the_lease_of_the_block_around_it(hive: Store) -> None:
    async with await leased(hive) as lease:
        async with hive.atomic() as unit:
            unit.tasks.complete(lease, "r")
            child = unit.tasks.enqueue("next", 1, depends_on=[lease.id])
            unit.records.put("c", "k", 1)
            assert not lease.ended
        assert lease.ended
    assert child.result.created
    assert (await task_of(hive, child.result.id)).state is TaskState.READY
    assert (await task_of(hive, lease.id)).result == "r"


async def test_a_unit_that_was_refused_leaves_the_lease(hive: Store) -> None:
    async with await leased(hive) as lease:
        unit = hive.atomic()
        unit.tasks.fail(lease, "no")
        unit.records.expect("c", "k", version=3)
        with pytest.raises(Conflict):
            await unit.commit()
        assert not lease.ended
    assert (await task_of(hive, lease.id)).state is TaskState.COMPLETED


async def test_a_unit_with_a_lost_lease_does_nothing(hive: Store) -> None:
    lease = await leased(hive)
    await hive.tasks.release(copy.copy(lease))
    for verb in ("complete", "expect"):
        unit = hive.atomic()
        getattr(unit.tasks, verb)(lease)
        unit.records.put("c", "k", 1)
        with pytest.raises(LeaseLost):
            await unit.commit()
    assert await hive.records.get("c", "k") is None


async def test_the_verbs_of_a_unit(hive: Store) -> None:
    one, two = await leased(hive), await leased(hive)
    made, other = [await hive.tasks.enqueue("p", 1) for _ in range(2)]
    async with hive.atomic() as unit:
        failed = unit.tasks.fail(one, "x", retry_in=None)
        released = unit.tasks.release(two, delay=5)
        cancelled = unit.tasks.cancel(made.id)
        urgent = unit.tasks.prioritize(other.id, 1)
        nobody = unit.tasks.redrive("nobody")
    assert (failed.result, released.result) == (TaskState.DEAD, TaskState.SCHEDULED)
    assert (cancelled.result, nobody.result, urgent.result) == (TaskState.CANCELLED, False, True)
    assert one.ended
    assert two.ended


async def test_a_retried_unit_with_a_commit_id_asks_for_the_same(hive: Store) -> None:
    lease = await leased(hive)
    ids = []
    for _ in range(2):
        async with hive.atomic(commit_id="c1") as unit:
            made = [unit.tasks.enqueue("p", n) for n in range(2)]
            unit.tasks.fail(lease, "x")
        ids.append([pending.result.id for pending in made])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert await hive.tasks.count(queue="p") == 2
