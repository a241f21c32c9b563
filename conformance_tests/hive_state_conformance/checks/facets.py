"""Area L: what core builds of reads, the store's clock and hints."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime

from hive_state_conformance.checking import check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env
from hive_state_core.agents import Agent
from hive_state_core.features import Facility
from hive_state_core.model import TaskState
from hive_state_core.store import Store

TASKS = {Facility.TASKS}


async def _agent(store: Store, id: str) -> Agent:
    agent = await store.agents.get(id)
    assert agent is not None
    return agent


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


@check("agents.silent_is_offline", area="L", number=1)
async def silent_is_offline(env: Env) -> None:
    """Contract: an agent is offline to everybody once it was silent for long enough by the store's clock,
    and found by that status only."""
    *_, reader = await with_peer(env)
    made = await env.store.agents.register("a", status="busy", offline_after=0.05)
    await env.store.agents.register("b", status="busy", offline_after=None)
    await env.until(_ms(made.seen_at) + 50)
    agent = await _agent(reader, "a")
    assert (agent.status, agent.last_status, agent.seen_at) == ("offline", "busy", made.seen_at)
    assert [each.id async for each in reader.agents.list(status="busy")] == ["b"]
    assert [each.id async for each in reader.agents.list(status="offline")] == ["a"]
    assert [each.id async for each in reader.agents.list()] == ["a", "b"]


@check("agents.heartbeat_is_no_change", area="L", number=2)
async def heartbeat_is_no_change(env: Env) -> None:
    """Contract: a heartbeat, given anywhere, brings an agent back and leaves its version: who read the agent
    before can still update it."""
    *_, other = await with_peer(env)
    made = await env.store.agents.register("a", offline_after=0.05)
    await env.until(_ms(made.seen_at) + 50)
    assert (await _agent(env.store, "a")).status == "offline"
    before = await _agent(other, "a")
    other.agents._roster.forget("a")
    await other.agents.heartbeat("a")
    after = await _agent(env.store, "a")
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert after.seen_at > before.seen_at
    assert (await env.store.agents.update(before, current_task="t")).status == "idle"


@check("agents.claims_cover", area="L", number=3, needs=TASKS | {Facility.REQUIREMENTS})
async def claims_cover(env: Env) -> None:
    """Contract: a claim that names no capabilities covers those of the registered agent that it is for."""
    *_, other = await with_peer(env)
    await env.store.agents.register("w", capabilities=["plan", "code"])
    for id, requires in (("a", ["plan"]), ("b", ["gpu"]), ("c", ["code", "plan"])):
        await env.store.tasks.enqueue("q", 1, id=id, requires=requires)
    assert await other.tasks.claim("q", worker="stranger", limit=9) == []
    assert [lease.id for lease in await other.tasks.claim("q", worker="w", limit=9)] == ["a", "c"]


@check("watch.record_ends_at_the_latest", area="L", number=4)
async def record_ends_at_the_latest(env: Env) -> None:
    """Contract: who watches a record sees its values in their order, some perhaps never, the last one always,
    and then that it is gone, whoever wrote."""
    *_, writer = await with_peer(env)
    seen: list[object] = []

    async def write() -> None:
        for n in range(30):
            await writer.records.put("c", "k", n)
        while seen[-1:] != [29]:
            await asyncio.sleep(0.005)
        await writer.records.delete("c", "k")

    async with asyncio.timeout(PATIENCE), aclosing(env.store.records.watch("c", "k", poll=0.1)) as changes:
        writing: asyncio.Task[None] | None = None
        async for change in changes:
            seen.append(change.record and change.record.value)
            writing = writing or asyncio.create_task(write())
            if seen[-2:] == [29, None]:
                break
    assert writing is not None
    await writing
    assert seen[0] is None
    assert seen[1:-1] == sorted(set(seen[1:-1]))  # type: ignore[type-var]


@check("watch.collection_ends_at_the_latest", area="L", number=5)
async def collection_ends_at_the_latest(env: Env) -> None:
    """Contract: who watches a collection has, in the end, what is in it, and saw all that went."""
    *_, writer = await with_peer(env)
    for n in range(5):
        await writer.records.put("c", f"k{n}", "old")
    seen: dict[str, object] = {}
    wanted: dict[str, object] = {"k0": None, "k1": "new", "k2": "old", "k3": "old", "k4": "old", "k5": "new"}
    async with asyncio.timeout(PATIENCE), aclosing(env.store.records.watch("c", poll=0.1)) as changes:
        async for change in changes:
            seen[change.key] = change.record and change.record.value
            if len(seen) == 5 and seen["k0"] == "old":
                await writer.records.put("c", "k1", "new")
                await writer.records.put("c", "k5", "new")
                await writer.records.delete("c", "k0")
            if seen == wanted:
                break


@check("tasks.wait_for_the_end", area="L", number=6, needs=TASKS)
async def wait_for_the_end(env: Env) -> None:
    """Contract: who waits for a task learns how it ended and what of, whoever ended it."""
    *_, worker = await with_peer(env)
    await env.store.tasks.enqueue("q", 1, id="t")
    waiting = asyncio.create_task(env.store.tasks.wait("t", timeout=PATIENCE, poll=0.1))
    await asyncio.sleep(0.02)
    (lease,) = await worker.tasks.claim("q", worker="w")
    await worker.tasks.complete(lease, {"answer": 42})
    task = await waiting
    assert (task.done, task.state, task.result) == (True, TaskState.COMPLETED, {"answer": 42})


@check("tasks.wait_for_cancellation", area="L", number=7, needs=TASKS)
async def wait_for_cancellation(env: Env) -> None:
    """Contract: who works at a task learns that it should stop, long before its lease is extended."""
    *_, other = await with_peer(env)
    await env.store.tasks.enqueue("q", 1, id="t")
    (lease,) = await env.store.tasks.claim("q", worker="w", lease=3600)
    asked = asyncio.create_task(env.store.tasks.cancellation(lease, poll=0.1))
    await other.tasks.cancel("t")
    await asyncio.wait_for(asked, PATIENCE)
    assert lease.cancel_requested
