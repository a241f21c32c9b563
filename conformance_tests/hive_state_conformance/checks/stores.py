"""Area O: namespaces, opening and closing, what a store says of itself."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.env import PATIENCE, Env, settled, together
from hive_state_conformance.harness import driver_of
from hive_state_conformance.undeclared import refused_without
from hive_state_core.features import Facility
from hive_state_core.model import QueueRef, RecordRef, Topic


@check("store.namespaces_isolated", area="O", number=6)
async def namespaces_isolated(env: Env) -> None:
    """Contract: namespaces share nothing, even where the name of one begins with that of the other."""
    others = [await env.elsewhere(suffix) for suffix in (":b", "-b", "%", "é")]
    stores = [env.store, *others]
    for store in stores:
        await store.records.put("c", "k", store.namespace, index={"x": 1})
        async with store.atomic(commit_id="job") as unit:
            unit.records.put("c", "k2", 1)
    for store in stores:
        record = await store.records.get("c", "k")
        assert record is not None
        assert record.value == store.namespace
        assert [found.value async for found in store.records.list("c", where={"x": 1})] == [store.namespace]
        assert await store.records.count("c") == 2
        assert (await store.stats()).records == {"c": 2}
    assert await others[0].records.delete("c", "k") is True
    assert await env.store.records.get("c", "k") is not None


@check("store.queues_of_namespaces_isolated", area="O", number=6, needs={Facility.TASKS})
async def queues_of_namespaces_isolated(env: Env) -> None:
    """Contract: tasks, ids, dedupe keys and paused queues of one namespace are unknown in the other."""
    other = await env.elsewhere(":b")
    assert (await env.store.tasks.enqueue("q", 1, id="t", dedupe_key="d")).created is True
    assert await other.tasks.claim("q", worker="w") == []
    assert await other.tasks.get("t") is None
    assert (await other.tasks.enqueue("q", 2, id="t", dedupe_key="d")).created is True
    await other.tasks.pause("q")
    (lease,) = await env.store.tasks.claim("q", worker="w", limit=10)
    assert lease.payload == 1


@check("store.drop_takes_its_own_only", area="O", number=162)
async def drop_takes_its_own_only(env: Env) -> None:
    """Contract: dropping a namespace removes all of it and nothing of any other."""
    other = await env.elsewhere(":b")
    for store in (env.store, other):
        await store.records.put_many("c", {"k": 1, "l": 2})
    await driver_of(other).schema("drop")
    assert await settled(other.records.count("c")) != [2]  # or the driver says that its time is over
    assert await env.store.records.count("c") == 2
    await other.close()
    again = await env.elsewhere(":b")
    assert await again.records.count("c") == 0
    assert (await again.stats()).records == {}
    assert await again.records.put("c", "k", 1, if_absent=True) > 0


@check("store.drop_leaves_no_task", area="O", number=162, needs={Facility.TASKS})
async def drop_leaves_no_task(env: Env) -> None:
    """Contract: dropping a namespace forgets its tasks, dedupe keys, paused queues and commit ids."""
    store = await env.elsewhere(":b")
    await store.tasks.enqueue("q", 1, id="t", dedupe_key="d")
    await store.tasks.pause("q")
    async with store.atomic(commit_id="job") as unit:
        unit.records.put("c", "k", 1)
    await driver_of(store).schema("drop")
    await store.close()
    again = await env.elsewhere(":b")
    assert (await again.stats()).queues == {}
    async with again.atomic(commit_id="job") as unit:
        enqueued = unit.tasks.enqueue("q", 2, id="t", dedupe_key="d")
    assert enqueued.result.created is True
    (lease,) = await again.tasks.claim("q", worker="w")
    assert lease.payload == 2


@check("store.streams_of_namespaces_isolated", area="O", number=6, needs={Facility.STREAMS})
async def streams_of_namespaces_isolated(env: Env) -> None:
    """Contract: streams, groups and numbers of one namespace are unknown in the other, and dropping it
    forgets them all.
    """
    other = await env.elsewhere(":b")
    await other.events.create_group("s", "g")
    await other.events.publish_many("s", [1, 2, 3])
    await other.events.claim("s", "g")
    assert await env.store.events.publish("s", "own") == 1
    assert await env.store.events.create_group("s", "g") is True
    assert [event.body for event in await other.events.read("s")] == [1, 2, 3]
    await driver_of(other).schema("drop")
    await other.close()
    again = await env.elsewhere(":b")
    assert ((await again.stats()).streams, (await again.stats()).groups) == ({}, {})
    assert await again.events.publish("s", 1) == 1
    assert [event.body for event in await env.store.events.read("s")] == ["own"]


@check("store.undeclared_is_refused", area="O", number=155)
async def undeclared_is_refused(env: Env) -> None:
    """Contract: whatever facility a driver does not declare is refused before any I/O."""
    await refused_without(env)


@check("store.opened_by_many_at_once", area="O", number=158, tier=Tier.RACE)
async def opened_by_many_at_once(env: Env) -> None:
    """Contract: many first opens of a namespace at once all succeed, and all can write."""
    stores = await together(*(env.elsewhere("-fresh") for _ in range(8)))
    versions = await together(*(store.records.put("c", f"{n}", n) for n, store in enumerate(stores)))
    assert len(versions) == 8
    for n, store in enumerate(stores):
        assert await store.records.get("c", f"{n}") is not None


@check("store.open_and_close_again", area="O", number=148)
async def open_and_close_again(env: Env) -> None:
    """Contract: opening and closing many times leaves no task and no thread behind."""
    for n in range(8):
        store = await env.elsewhere("-cycle")
        await store.records.put("c", "k", n)
        await store.close()


@check("store.schema_is_current", area="O", number=159)
async def schema_is_current(env: Env) -> None:
    """Contract: an open store has the schema it wants, and upgrading it again changes nothing."""
    await env.store.records.put("c", "k", 1)
    before = await env.record("c", "k")
    found = await env.driver.schema("inspect")
    assert found.found == found.wanted
    again = await env.driver.schema("upgrade")
    assert again.found == again.wanted == found.wanted
    assert await env.record("c", "k") == before


@check("store.features_are_fixed", area="O", number=155)
async def features_are_fixed(env: Env) -> None:
    """Contract: what a store declares is known before it is opened, and the same ever after; but a server may
    turn out to keep writes better."""
    unopened = env.harness.connect(env.namespace)
    declared, found = unopened.features, env.store.features
    assert declared.durability <= found.durability
    assert replace(declared, durability=found.durability) == found
    assert unopened.namespace == env.store.namespace == env.namespace
    facilities = env.store.features.facilities
    assert Facility.TASKS in facilities or not facilities & {Facility.DEPENDENCIES, Facility.REQUIREMENTS}
    await driver_of(unopened).close()


@check("store.stats_count", area="O", number=110)
async def stats_count(env: Env) -> None:
    """Contract: stats count the records of each collection, and health passes the store's warnings on."""
    assert (await env.store.stats()).records == {}
    await env.store.records.put_many("c", {"a": 1, "b": 2})
    await env.store.records.put("d", "a", 1)
    await env.store.records.delete("c", "a")
    health = await env.store.health()
    assert health.stats is not None, health.checks
    assert health.stats.records == {"c": 1, "d": 1}
    assert health.warnings == health.stats.warnings
    now = await env.now()
    assert abs(now - health.stats.at) < 60_000


@check("store.wait_ends_in_time", area="O", number=133)
async def wait_ends_in_time(env: Env) -> None:
    """Contract: waiting for news ends at its time-out, names only what was asked for, and can be
    cancelled.
    """
    topics: frozenset[Topic] = frozenset({RecordRef("c", "k")})
    if Facility.TASKS in env.store.features.facilities:
        topics |= {QueueRef("q")}
    started = time.monotonic()
    assert await env.driver.wait(topics, 30) <= topics
    assert time.monotonic() - started < PATIENCE
    waits = [asyncio.create_task(env.driver.wait(topics, 600_000)) for _ in range(5)]
    await asyncio.sleep(0.01)
    for wait in waits:
        wait.cancel()
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError | frozenset) for end in ended)
    waiting = asyncio.create_task(env.driver.wait(topics, 200))
    await asyncio.sleep(0.01)
    await env.store.records.put("c", "k", 1)
    assert await waiting <= topics
