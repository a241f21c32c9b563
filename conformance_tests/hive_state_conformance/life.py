"""A busy hour of a small hive: some of everything, so that there is something to move."""

from __future__ import annotations

from uuid import uuid4

from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.model import GroupRef
from hive_state_core.spi import Batch, CreateGroup, Retention

OLD = Retention(completed=0, cancelled=0, dead=None, tombstones=0, commits=None)


async def live(env: Env) -> None:
    """Write, change and remove things of every kind that the store offers. Each call adds more."""
    tag = uuid4().hex[:6]
    await _records(env, tag)
    await _tasks(env, tag)
    if env.store.features.has(Facility.STREAMS):
        await _streams(env, tag)
    await env.driver.sweep(100, OLD)


async def _records(env: Env, tag: str) -> None:
    records = env.store.records
    await records.put("c", "same", tag)
    await records.put("c", f"indexed-{tag}", {"n": 1}, index={"tag": tag, "n": [1, 1.5, None, True]})
    await records.put("c", f"raw-{tag}", b"\0\xff", ttl=3600)
    await records.put("d", f"short-{tag}", 1, ttl=0.001)
    await records.put("d", f"deleted-{tag}", 1)
    await records.delete("d", f"deleted-{tag}")


async def _tasks(env: Env, tag: str) -> None:
    tasks = env.store.tasks
    await tasks.enqueue("q", tag, id=f"dedupe-{tag}", dedupe_key="one", priority=1)
    await tasks.enqueue("q", tag, id=f"done-{tag}")
    await tasks.enqueue("q", tag, id=f"failed-{tag}", max_attempts=1)
    if env.store.features.has(Facility.DEPENDENCIES):
        await tasks.enqueue("q", tag, id=f"child-{tag}", depends_on=[f"done-{tag}", f"failed-{tag}"])
    for lease in await tasks.claim("q", worker="w", limit=10):
        if lease.id.startswith("done"):
            await tasks.complete(lease, {"ok": tag})
        elif lease.id.startswith("failed"):
            await tasks.fail(lease, "no")
        elif lease.id.startswith("dedupe"):
            await tasks.release(lease)
    await tasks.cancel(f"dedupe-{tag}")
    await tasks.enqueue("q", tag, id=f"leased-{tag}", dedupe_key="one", priority=1)
    await tasks.claim("q", worker="w", lease=3600)
    await tasks.pause("paused")
    async with env.store.atomic(commit_id=f"job-{tag}") as unit:
        unit.tasks.enqueue("later", tag, id=f"later-{tag}", delay=3600, priority=-5)
        unit.records.put("c", f"job-{tag}", 1)


async def _streams(env: Env, tag: str) -> None:
    events = env.store.events
    await events.publish_many("s", [f"{n}-{tag}" for n in range(6)])
    await env.trip(Batch((CreateGroup(GroupRef("s", "g"), 0, 5),)))
    claimed = await events.claim("s", "g", consumer="w", limit=4)
    await events.ack(*claimed[:2])
    await events.nack(claimed[2], error="no", retry_in=None)
    await events.trim("s", first=claimed[0].seq)
    await events.publish(f"dropped-{tag}", 1)
    await events.create_group(f"dropped-{tag}", "g")
    await events.drop(f"dropped-{tag}")
