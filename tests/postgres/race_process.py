"""Agents in a process of their own on a few hot names; says what was acknowledged, as a line of JSON."""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
import time

import hive_state_postgres
from hive_state_core import Store, open_store
from hive_state_core.errors import AlreadyExists, ConfigError, Conflict, HiveStateError, LeaseLost
from hive_state_core.plugins import Backend, backend_for, register_backend
from hive_state_core.url import parse_url

try:
    backend_for(parse_url("postgres://localhost/x"))
except ConfigError:
    found: list[Backend] = []
    hive_state_postgres.hive_state_register_backends(register=found.append)
    register_backend(found[0])


async def count(hive: Store, said: collections.Counter[str]) -> None:
    record = await hive.records.get("hot", "counter")
    try:
        if record is None:
            await hive.records.put("hot", "counter", 1, if_absent=True)
        else:
            await hive.records.put("hot", "counter", record.value + 1, if_version=record.version)
    except Conflict:
        return
    said["counted"] += 1


async def many(hive: Store, dice: random.Random) -> None:
    keys = ["a", "b", "c", "d"]
    dice.shuffle(keys)
    async with hive.atomic() as unit:
        for key in keys:
            unit.records.put("many", key, 1)


async def work(hive: Store, dice: random.Random, said: collections.Counter[str]) -> None:
    await hive.tasks.enqueue("q", 1, max_attempts=100)
    for lease in await hive.tasks.claim("q", worker="w", lease=dice.choice((0.05, 5)), limit=3):
        await asyncio.sleep(dice.choice((0, 0, 0.06)))
        try:
            async with hive.atomic() as unit:
                unit.tasks.complete(lease)
                unit.records.put("done", lease.id, 1, if_absent=True)
                unit.events.publish("audit", lease.id)
        except (LeaseLost, AlreadyExists):
            continue
        said["done"] += 1


async def deliver(hive: Store, said: collections.Counter[str]) -> None:
    """What was claimed is recorded once, in the commit that acks it."""
    for delivery in await hive.events.claim("audit", "g", consumer="c", lease=5, limit=3):
        try:
            async with hive.atomic() as unit:
                unit.events.ack(delivery)
                unit.records.put("delivered", str(delivery.event.seq), 1, if_absent=True)
        except LeaseLost:
            continue
        said["delivered"] += 1


async def agent(hive: Store, dice: random.Random, until: float, said: collections.Counter[str]) -> None:
    while time.monotonic() < until:
        try:
            match dice.randrange(4):
                case 0:
                    await count(hive, said)
                case 1:
                    await many(hive, dice)
                case 2:
                    await deliver(hive, said)
                case _:
                    await work(hive, dice, said)
            said["rounds"] += 1
        except HiveStateError as error:
            said[f"error {type(error).__name__}"] += 1


async def main(url: str, seed: int, seconds: float) -> None:
    said: collections.Counter[str] = collections.Counter()
    async with open_store(url) as hive:
        until = time.monotonic() + seconds
        await asyncio.gather(*(agent(hive, random.Random(seed * 100 + n), until, said) for n in range(6)))
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
