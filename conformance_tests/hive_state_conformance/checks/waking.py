"""Area L: waiting for news. A hint may be lost, late, doubled or wrong, and nothing depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from hive_state_conformance.chaos import ChaosHarness, Wakes
from hive_state_conformance.checking import NotRun, Tier, check, find_check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, together
from hive_state_conformance.harness import driver_of
from hive_state_core.features import Facility, Wake
from hive_state_core.leases import Lease
from hive_state_core.model import CollectionRef, QueueRef, RecordRef, StreamRef, TaskRef, TaskState, Topic
from hive_state_core.store import Store

TASKS = {Facility.TASKS}

LONG = 3000
"""Milliseconds: longer than any hint takes."""

WAITING = (
    "wake.work_gets_what_comes",
    "wake.due_tasks_are_found",
    "events.follow.misses_nothing",
    "events.group.misses_nothing",
    "events.consume.ends",
    "locks.handed_over",
)
"""Checks whose callers wait for something."""


async def pushed(env: Env, topic: Topic, act: Callable[[], Any]) -> None:
    """Fails unless a wait for the topic that is under way ends early once `act` was done elsewhere."""
    if env.store.features.wake is Wake.NONE:
        raise NotRun("nothing wakes here (wake=none)", physics=True)
    for _ in range(2):  # a hint may be lost
        waiting = asyncio.create_task(env.driver.wait(frozenset({topic}), LONG))
        await asyncio.sleep(0.05)
        await act()
        heard = await waiting
        assert heard <= {topic}
        if heard:
            return
    raise AssertionError(f"nothing was heard of {topic}, twice")


async def writer(env: Env) -> Store:
    """Somebody else, if there can be."""
    return (await with_peer(env))[-1]


@check("wake.records", area="L", number=133)
async def wake_records(env: Env) -> None:
    """Contract: where news are pushed, who waits for a record or a collection is woken by another's write."""
    peer = await writer(env)
    await pushed(env, RecordRef("c", "k"), lambda: peer.records.put("c", "k", 1))
    await pushed(env, RecordRef("c", "k"), lambda: peer.records.delete("c", "k"))
    await pushed(env, CollectionRef("c"), lambda: peer.records.put("c", "other", 1))


@check("wake.tasks", area="L", number=133, needs=TASKS)
async def wake_tasks(env: Env) -> None:
    """Contract: where news are pushed, who waits for a queue is woken by an enqueue, and who waits for a task
    by its end, or by the request to cancel it.
    """
    peer = await writer(env)
    await pushed(env, QueueRef("q"), lambda: peer.tasks.enqueue("q", 1))
    done, failed, cancelled = await leased(env, "abc")
    await pushed_once(env, TaskRef("a"), lambda: peer.tasks.complete(done))
    await pushed_once(env, TaskRef("b"), lambda: peer.tasks.fail(failed, "bad", retry_in=None))
    await pushed_once(env, TaskRef("c"), lambda: peer.tasks.cancel(cancelled.id))


async def leased(env: Env, names: str) -> list[Lease]:
    for name in names:
        await env.store.tasks.enqueue(f"own-{name}", 1, id=name)
    return [(await env.store.tasks.claim(f"own-{name}", worker="w"))[0] for name in names]


async def pushed_once(env: Env, topic: Topic, act: Callable[[], Any]) -> None:
    """As `pushed`, for what can be done only once: a wait that starts late hears it, or is not needed."""
    done = False

    async def once() -> None:
        nonlocal done
        if not done:
            done = True
            await act()

    await pushed(env, topic, once)


@check("wake.streams", area="L", number=133, needs={Facility.STREAMS})
async def wake_streams(env: Env) -> None:
    """Contract: where news are pushed, who waits for a stream is woken when it grows."""
    peer = await writer(env)
    await pushed(env, StreamRef("s"), lambda: peer.events.publish("s", 1))


@check("wake.not_before_visible", area="L", number=135, tier=Tier.RACE)
async def not_before_visible(env: Env) -> None:
    """Contract: where news are pushed, who waits for the first write of a record is woken when it is seen."""
    if env.store.features.wake is not Wake.PUSH:
        raise NotRun("news are looked for here, not pushed", physics=True)
    stores = await with_peer(env)

    async def look(store: Store, key: str) -> None:
        def listen() -> asyncio.Task[frozenset[Topic]]:
            return asyncio.create_task(driver_of(store).wait(frozenset({RecordRef("c", key)}), 500))

        vain, waiting = 0, listen()
        while await waiting:
            waiting = listen()  # before the look: what is written after it is heard
            if await store.records.get("c", key) is not None:
                waiting.cancel()
                return
            vain += 1  # as a hint may be now and then; the write wakes again
            assert vain < 3, "woken before the commit was visible"
        assert not vain, "woken before the commit was visible, and not after it"

    async def write(key: str) -> None:
        await asyncio.sleep(0.02)
        await stores[0].records.put("c", key, 1)

    for n in range(5):
        await together(*(look(store, f"{n}") for store in stores), write(f"{n}"))


@check("wake.many_waits", area="L", number=136)
async def many_waits(env: Env) -> None:
    """Contract: a thousand waits at once are under way beside all other calls, and all end in time."""
    waits = [
        asyncio.create_task(env.driver.wait(frozenset({RecordRef("c", f"{n}")}), 1000)) for n in range(1000)
    ]
    await asyncio.sleep(0)
    await together(*(env.store.records.put("c", f"{n}", n) for n in range(0, 1000, 4)))
    async with asyncio.timeout(PATIENCE):
        heard = await asyncio.gather(*waits)
    for n, topics in enumerate(heard):
        assert topics <= {RecordRef("c", f"{n}")}


@check("wake.work_gets_what_comes", area="L", number=134, needs=TASKS, tier=Tier.RACE)
async def work_gets_what_comes(env: Env) -> None:
    """Contract: workers that wait at an empty queue get every task that comes later, from whomever, each
    once.
    """
    stores = await with_peer(env)
    done: list[int] = []
    stop = asyncio.Event()

    async def handle(lease: Lease) -> None:
        done.append(lease.payload)
        if len(done) == 30:
            stop.set()

    async def enqueue() -> None:
        for n in range(30):
            await stores[n % len(stores)].tasks.enqueue("q", n)
            if n % 10 == 0:
                await asyncio.sleep(0.03)

    works = [
        store.tasks.work("q", handle, worker=f"w{n}", poll=0.02, stop=stop)
        for n, store in enumerate((stores * 2)[:2])
    ]
    async with asyncio.timeout(PATIENCE):
        await together(enqueue(), *works)
    assert sorted(done) == list(range(30))
    assert (await env.store.stats()).queues["q"].states == {TaskState.COMPLETED: 30}


@check("wake.due_tasks_are_found", area="L", number=134, needs=TASKS)
async def due_tasks_are_found(env: Env) -> None:
    """Contract: a task that becomes due, and one whose lease ends, are found by a consumer that waits."""
    tasks = env.store.tasks
    await tasks.enqueue("q", "held", id="held", max_attempts=2)
    await tasks.claim("q", worker="gone", lease=0.1)
    await tasks.enqueue("q", "due", delay=0.05)
    found: list[str] = []
    async with asyncio.timeout(PATIENCE), aclosing(tasks.consume("q", worker="w", poll=0.05)) as leases:
        async for lease in leases:
            async with lease:
                found.append(lease.payload)
            if len(found) == 2:
                break
    assert sorted(found) == ["due", "held"]


@check("wake.many_hints_lose_nothing", area="L", number=136, needs=TASKS, tier=Tier.RACE)
async def many_hints_lose_nothing(env: Env) -> None:
    """Contract: however many hints come while a consumer works, it finds all that they were about."""
    stores = await with_peer(env)
    found: set[int] = set()

    async def consume() -> None:
        async with aclosing(stores[-1].tasks.consume("q", worker="w", poll=0.02)) as leases:
            async for lease in leases:
                async with lease:
                    found.add(lease.payload)
                if len(found) == 100:
                    break

    async with asyncio.timeout(PATIENCE):
        await together(consume(), *(stores[0].tasks.enqueue("q", n) for n in range(100)))
    assert found == set(range(100))


async def with_wakes(env: Env, wakes: Wakes) -> None:
    """Run the checks that wait over hints of this kind."""
    from hive_state_conformance.report import Status
    from hive_state_conformance.runner import run_check

    for id in WAITING:
        result = await run_check(find_check(id), ChaosHarness(env.harness, wakes))
        assert result.status is not Status.FAILED, f"{id}: {result.reason}"


@check("wake.lost", area="L", number=134)
async def wakes_lost(env: Env) -> None:
    """Contract: who waits for tasks, events and locks finds all of them though nothing is ever heard."""
    await with_wakes(env, Wakes.LOST)


@check("wake.doubled", area="L", number=134)
async def wakes_doubled(env: Env) -> None:
    """Contract: who waits finds all and does nothing twice though it is woken all the time."""
    await with_wakes(env, Wakes.DOUBLED)


@check("wake.late", area="L", number=134)
async def wakes_late(env: Env) -> None:
    """Contract: who waits finds all though some hints come late and others never."""
    await with_wakes(env, Wakes.LATE)
