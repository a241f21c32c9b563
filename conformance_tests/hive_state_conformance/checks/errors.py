"""Area N: errors say what is wrong and nothing that is secret; limits are where they are said to be."""

from __future__ import annotations

import traceback
from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_core.errors import (
    AlreadyExists,
    Closed,
    Conflict,
    HiveStateError,
    InvalidArgument,
    LeaseLost,
    LimitExceeded,
    NotFound,
)
from hive_state_core.features import Facility
from hive_state_core.limits import BATCH_OPS, CLAIM, DEPENDS, KEY_BYTES, NAME_BYTES, REQUIRES, SCAN_PAGE
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


@check("limits.of_streams_are_real", area="N", number=156, needs={Facility.STREAMS})
async def limits_of_streams_are_real(env: Env) -> None:
    """Contract: streams, groups, pages, claims and units of events of the greatest size work, others are
    refused.
    """
    events = env.store.events
    name = "é" * (NAME_BYTES // 2)
    assert await events.create_group(name, name, start="beginning") is True
    assert await events.publish_many(name, range(BATCH_OPS)) == list(range(1, BATCH_OPS + 1))
    assert len(await events.read(name, limit=SCAN_PAGE)) == SCAN_PAGE
    given = await events.claim(name, name, consumer=name, limit=CLAIM)
    await events.ack(*given)
    assert (len(given), await events.lag(name, name)) == (CLAIM, 0)
    await raises(LimitExceeded, events.publish_many("s", range(BATCH_OPS + 1)))
    await raises(LimitExceeded, events.publish(name + "x", 1))
    await raises(LimitExceeded, events.create_group("s", name + "x"))
    await raises(LimitExceeded, events.read(name, limit=SCAN_PAGE + 1))
    await raises(LimitExceeded, events.claim(name, name, limit=CLAIM + 1))
    assert list((await env.store.stats()).streams) == [name]


@check("errors.no_bodies_in_messages", area="N", number=154, needs={Facility.STREAMS})
async def no_bodies_in_messages(env: Env) -> None:
    """Contract: an error about an event names stream, group and number, and shows no body."""
    events = env.store.events
    await events.create_group("s", "g")
    await events.publish("s", {"password": SECRET})
    (delivery,) = await events.claim("s", "g")
    await events.ack(delivery)
    error = await raises(LeaseLost, events.ack(delivery))
    assert SECRET not in f"{error}{error!r}{error.__cause__!r}{delivery!r}{delivery.event!r}"
    assert "event 1 of stream 's', handed to group 'g'" in str(error)


@check("errors.flags_are_right", area="N", number=151, needs={Facility.TASKS})
async def flags_are_right(env: Env) -> None:
    """Contract: what a caller got wrong, or what is not so, is not applied and not worth another try, and
    each kind of it has its code.
    """
    records, tasks = env.store.records, env.store.tasks
    await records.put("c", "k", 1)
    await tasks.enqueue("q", 1)
    (lease,) = await tasks.claim("q", worker="w")
    await tasks.complete(lease)
    closed = await env.elsewhere("-closed")
    await closed.close()
    found = [
        await raises(AlreadyExists, records.put("c", "k", 2, if_absent=True)),
        await raises(Conflict, records.put("c", "k", 2, if_version=7)),
        await raises(LeaseLost, tasks.complete(lease)),
        await raises(InvalidArgument, records.put("", "k", 1)),
        await raises(LimitExceeded, records.put("c", "k" * (KEY_BYTES + 1), 1)),
        await raises(Closed, closed.records.get("c", "k")),
    ]
    if env.store.features.has(Facility.DEPENDENCIES):
        found.append(await raises(NotFound, tasks.enqueue("q", 1, depends_on=["nobody"])))
    for error in found:
        assert (error.retryable, error.applied) == (False, "no"), f"{error!r}"
        assert error.code == type(error).code
    assert len({error.code for error in found}) == len(found)
