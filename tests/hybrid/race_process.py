"""Agents in a process of their own that read and write a few hot records, over a cache that this process
reaches late or not at all. Each call that is answered is a line in a file; of a delete there is one from
before it too.

`--weaken` turns a rule of the cache protocol over, see `weakenings.py`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.errors import Conflict, HiveStateError, Unavailable
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Delete
from hive_state_redis.caching import RedisCache

from .history import Told
from .weakenings import WEAKENINGS

KEYS = ("a", "b", "c")
AGENTS = 5


class Journal:
    """A file of what was told to this process."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, kind: str, key: str, begun: float, ended: float, version: int) -> None:
        os.write(self._file, f"{kind} {key} {begun!r} {ended!r} {version}\n".encode())

    async def call(self, kind: str, key: str, doing: Awaitable[int]) -> None:
        begun = monotonic()
        if kind == "delete":
            self.say(kind, key, begun, inf, 0)
        version = await doing
        self.say(kind, key, begun, monotonic(), version)


def calls_of(file: Path) -> list[Told]:
    """What a process left in its file; the last line may be cut off. Of a call that was answered the line
    from before it does not count."""
    lines = [line.split() for line in file.read_text().splitlines()]
    calls = [
        Told(file.name, kind, key, float(begun), float(ended), int(version))
        for kind, key, begun, ended, version in (line for line in lines if len(line) == 5)
    ]
    last = {(call.kind, call.key, call.begun): call for call in calls}
    return list(last.values())


async def read(hive: Store, key: str) -> int:
    record = await hive.records.get("hot", key)
    return 0 if record is None else record.version


async def swap(hive: Store, key: str) -> int:
    record = await hive.records.get("hot", key, fresh=True)
    if record is None:
        return await hive.records.put("hot", key, 1)
    return await hive.records.put("hot", key, record.value + 1, if_version=record.version)


async def delete(hive: Store, key: str) -> int:
    return (await hive._trips.commit(Batch((Delete(RecordRef("hot", key)),)))).version


async def agent(hive: Store, dice: random.Random, until: float, journal: Journal) -> None:
    while monotonic() < until:
        key = dice.choice(KEYS)
        try:
            match dice.randrange(20):
                case 0:
                    await journal.call("write", key, hive.records.put("hot", key, 0))
                case 1:
                    await journal.call("write", key, swap(hive, key))
                case 2:
                    await journal.call("delete", key, delete(hive, key))
                case _:
                    await journal.call("read", key, read(hive, key))
        except Conflict:
            pass
        except HiveStateError:
            await asyncio.sleep(0.02)
        await asyncio.sleep(dice.choice((0, 0, 0.002)))


def disturb(dice: random.Random, dies: bool) -> None:
    """From now on pushes and answers may be late, also if nobody waits for them any more; the process is cut
    off from the cache now and then; and it may die between a commit and its push."""
    cut = [0.0]

    def late(name: str, may_die: bool = False) -> None:
        method: Callable[..., Awaitable[Any]] = getattr(RedisCache, name)

        async def disturbed(self: RedisCache, *args: Any) -> Any:
            if dice.random() < 0.002:
                cut[0] = monotonic() + dice.random()
            if monotonic() < cut[0]:
                raise Unavailable("cut off, by the test")
            if may_die and dies and dice.random() < 0.005:
                os.kill(os.getpid(), signal.SIGKILL)
            if dice.random() < 0.9:
                return await method(self, *args)
            going_on = asyncio.ensure_future(slow(self, *args))
            going_on.add_done_callback(lambda task: task.cancelled() or task.exception())
            return await asyncio.shield(going_on)

        async def slow(self: RedisCache, *args: Any) -> Any:
            before, after = (dice.choice((0, 0.005, 0.02, 0.1, 0.4)) * dice.random() for _ in range(2))
            await asyncio.sleep(before)
            answer = await method(self, *args)
            await asyncio.sleep(after)
            return answer

        setattr(RedisCache, name, disturbed)

    for name in ("ask", "beat", "now"):
        late(name)
    late("push", may_die=True)


async def opened(choice: Choice, until: float) -> Store:
    """The store, as soon as its servers are there: one of them may be down just now."""
    while True:
        hive = open_store(choice, janitor=False)
        try:
            await hive.open()
            return hive
        except Unavailable:
            if monotonic() > until:
                raise
            await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--dies", action="store_true")
    parser.add_argument("--weaken", choices=WEAKENINGS)
    options = parser.parse_args()
    if options.weaken:
        WEAKENINGS[options.weaken](pytest.MonkeyPatch())
    dice = random.Random(options.seed)
    disturb(dice, options.dies)
    until = monotonic() + options.seconds
    hive = await opened(choose("prod", options.config), until)
    journal = Journal(options.file)
    await asyncio.gather(*(agent(hive, random.Random(dice.random()), until, journal) for _ in range(AGENTS)))
    await hive.close()


if __name__ == "__main__":
    asyncio.run(main())
