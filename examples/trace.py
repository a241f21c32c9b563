"""One program for every store: `python examples/trace.py sqlite:///hive.db` or `... memory://`.

Prints what happened without versions, ids and times, so that the output is the same on every backend.
"""

from __future__ import annotations

import asyncio
import sys

from hive_state_core import Store, open_store
from hive_state_core.errors import Conflict, LeaseLost


async def records(hive: Store) -> None:
    first = await hive.records.put("notes", "n1", {"text": "draft", "tags": ["a"]}, index={"tag": "a"})
    second = await hive.records.put("notes", "n1", {"text": "final"}, if_version=first, index={"tag": "b"})
    print("version grew:", second > first)
    try:
        await hive.records.put("notes", "n1", "stale", if_version=first)
    except Conflict as error:
        print("stale write:", error.code)
    await hive.records.put_many("notes", {f"m{n}": n for n in range(3)})
    print("keys:", [note.key async for note in hive.records.list("notes")])
    print("tagged b:", [note.value async for note in hive.records.list("notes", where={"tag": "b"})])
    await hive.records.put("notes", "brief", 1, ttl=0.05)
    await asyncio.sleep(0.1)
    print("expired:", await hive.records.get("notes", "brief"))


async def tasks(hive: Store) -> None:
    await hive.agents.register("planner-1", capabilities=["plan"])
    for name, priority in (("later", 9), ("soon", 1), ("then", 5)):
        await hive.tasks.enqueue("build", name, priority=priority)
    print("once:", [(await hive.tasks.enqueue("build", "x", dedupe_key="k")).created for _ in range(2)])
    (late,) = await hive.tasks.claim("build", worker="planner-1", lease=0.05)
    await asyncio.sleep(0.1)
    (lease,) = await hive.tasks.claim("build", worker="planner-1")
    print("claimed again:", late.payload == lease.payload, lease.attempt)
    try:
        await hive.tasks.complete(late)
    except LeaseLost as error:
        print("late completion:", error.code)
    async with hive.atomic() as unit:
        unit.tasks.complete(lease, {"ok": True})
        unit.records.put("done", lease.id, lease.payload, if_absent=True)
        followup = unit.tasks.enqueue("build", "follow-up", priority=2)
    print("atomic:", [done.value async for done in hive.records.list("done")], followup.result.created)
    (failing,) = await hive.tasks.claim("build", worker="planner-1")
    print("dead letter:", failing.payload, await hive.tasks.fail(failing, "no way", retry_in=None))
    print("redriven:", await hive.tasks.redrive(failing.id))
    stop, order = asyncio.Event(), []

    async def handler(task):
        order.append(task.payload)
        if len(order) == 4:
            stop.set()

    await hive.tasks.work("build", handler, worker="planner-1", concurrency=1, stop=stop)
    print("worked:", order)


async def main(url: str) -> None:
    async with open_store(url, namespace="trace-example") as hive:
        await records(hive)
        await tasks(hive)
        stats = await hive.stats()
        print("states:", {state.value: count for state, count in stats.queues["build"].states.items()})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
