"""Area N: errors say what is wrong and nothing that is secret; limits are where they are said to be."""

from __future__ import annotations

import traceback
from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_core.errors import Conflict, HiveStateError, LeaseLost, LimitExceeded
from hive_state_core.features import Facility
from hive_state_core.limits import CLAIM, DEPENDS, KEY_BYTES, NAME_BYTES, REQUIRES, SCAN_PAGE
from hive_state_core.spi import Enqueued
from hive_state_core.url import StoreURL

SECRET = "s3cret-4711"


@check("errors.no_values_in_messages", area="N", number=154)
async def no_values_in_messages(env: Env) -> None:
    """Contract: no error shows a stored value, neither in its message nor in the native error it stands
    for.
    """
    await env.store.records.put("c", "k", {"password": SECRET})
    for condition in ({"if_version": 1}, {"if_absent": True}):
        put = env.store.records.put("c", "k", {"token": SECRET}, **condition)
        error = await raises(Conflict, put)
        shown = "".join(traceback.format_exception_only(error)) + repr(error) + repr(error.__cause__)
        assert SECRET not in shown
        assert "'k'" in str(error), f"the message does not name the record: {error}"


@check("errors.no_payloads_in_messages", area="N", number=154, needs={Facility.TASKS})
async def no_payloads_in_messages(env: Env) -> None:
    """Contract: an error about a task names the task, and shows neither payload nor result."""
    await env.store.tasks.enqueue("q", {"password": SECRET}, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w")
    await env.store.tasks.complete(lease, SECRET)
    error = await raises(LeaseLost, env.store.tasks.complete(lease, SECRET))
    assert SECRET not in f"{error}{error!r}{error.__cause__!r}{lease!r}{lease.task!r}"
    assert "'t'" in str(error)


@check("errors.no_password_in_repr", area="N", number=154)
async def no_password_in_repr(env: Env) -> None:
    """Contract: a Store shows its URL without the password, in repr and in health."""
    health = await env.store.health()
    password = env.store.url.password
    shown = f"{env.store!r}{env.store.url!r}{health!r}"
    assert password is None or password not in shown
    url = StoreURL(
        scheme="x", username="u", password=SECRET, host="h", port=1, path="/", options={"sslpassword": SECRET}
    )
    assert SECRET not in f"{url}{url!r}"


@check("errors.conflict_is_not_retryable", area="N", number=151)
async def conflict_is_not_retryable(env: Env) -> None:
    """Contract: an error says whether another try is worth it and whether it was applied: a Conflict
    neither.
    """
    await env.store.records.put("c", "k", 1)
    error: HiveStateError = await raises(Conflict, env.store.records.put("c", "k", 1, if_absent=True))
    assert (error.code, error.retryable, error.applied) == ("already_exists", False, "no")


@check("limits.are_real", area="N", number=156)
async def limits_are_real(env: Env) -> None:
    """Contract: pages, names and commit ids of the greatest size work, greater ones are a LimitExceeded."""
    records = env.store.records
    await records.put_many("c", {f"{n:04}": n for n in range(SCAN_PAGE)})
    page = await records.page("c", limit=SCAN_PAGE)
    assert len(page.items) == SCAN_PAGE
    error = cast(LimitExceeded, await raises(LimitExceeded, records.page("c", limit=SCAN_PAGE + 1)))
    assert (error.actual, error.allowed) == (SCAN_PAGE + 1, SCAN_PAGE)
    for _ in range(2):
        async with env.store.atomic(commit_id="é" * (KEY_BYTES // 2)) as unit:
            unit.records.put("c", "once", 1)
    record = await records.get("c", "once")
    assert record is not None
    assert record.version == record.created_version
    assert len(await records.get_many("c", [f"{n:04}" for n in range(SCAN_PAGE)])) == SCAN_PAGE


@check("limits.of_tasks_are_real", area="N", number=156, needs={Facility.TASKS})
async def limits_of_tasks_are_real(env: Env) -> None:
    """Contract: ids, dedupe keys, queues, workers and claims of the greatest size work, others are
    refused.
    """
    tasks = env.store.tasks
    queue, key = "é" * (NAME_BYTES // 2), "é" * (KEY_BYTES // 2)
    assert await tasks.enqueue(queue, 1, id=key, dedupe_key=key) == Enqueued(key, True)
    assert await tasks.enqueue(queue, 1, dedupe_key=key) == Enqueued(key, False)
    (lease,) = await tasks.claim(queue, worker=queue, limit=CLAIM)
    assert (lease.id, lease.task.worker) == (key, queue)
    await raises(LimitExceeded, tasks.claim("q", worker="w", limit=CLAIM + 1))
    await raises(LimitExceeded, tasks.enqueue("q", 1, id=key + "x"))
    await raises(LimitExceeded, tasks.enqueue("q", 1, dedupe_key=key + "x"))
    await raises(LimitExceeded, tasks.enqueue(queue + "x", 1))


@check("limits.of_links_are_real", area="N", number=156, needs={
    Facility.TASKS, Facility.DEPENDENCIES, Facility.REQUIREMENTS
})  # fmt: skip
async def limits_of_links_are_real(env: Env) -> None:
    """Contract: the most parents and requirements of a task work, one more is a LimitExceeded."""
    tasks = env.store.tasks
    parents = [f"p{n:03}" for n in range(DEPENDS + 1)]
    skills = [f"s{n:03}" for n in range(REQUIRES + 1)]
    for parent in parents:
        await tasks.enqueue("parents", 1, id=parent)
    await tasks.enqueue("q", 1, id="child", depends_on=parents[:DEPENDS], requires=skills[:REQUIRES])
    assert (await env.task("child")).unmet == DEPENDS
    await raises(LimitExceeded, tasks.enqueue("q", 1, depends_on=parents))
    await raises(LimitExceeded, tasks.enqueue("q", 1, requires=skills))
