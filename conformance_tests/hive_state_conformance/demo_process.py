"""One process of the hive of `demo --migrate`: `python -m hive_state_conformance.demo_process`.

stdin   a line of `Orders`; a line when the work begins; a line when it ends. If it is closed before that, the
        process ends at once: nobody waits for it any more
stdout  lines of `Figures`, the first once it is ready, then several a second; last one of `Told`
"""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from hive_state_conformance.demo_hive import Hive, Share
from hive_state_core.choosing import choose
from hive_state_core.config import Config
from hive_state_core.store import open_store

EVERY = 0.1
"""Seconds between two lines."""


class Orders(msgspec.Struct, kw_only=True):
    """`stores` are the tables of a configuration, `use` is the one that is opened. `seen`: a file of eight
    bytes for each record, through which the processes share what a read has to find at least; None = each
    keeps its own."""

    stores: dict[str, dict[str, Any]]
    use: str
    agents: int
    records: int
    share: Share
    think: float
    seen: str | None


class Figures(msgspec.Struct, kw_only=True, tag=True):
    """How far it is. `longest` of the calls that came back since the line before, in seconds; `oldest`: when
    the call began that is under way for the longest, by the clock that all processes of a machine share."""

    operations: int
    enqueued: int
    finished: int
    errors: int
    longest: float
    oldest: float


def say(line: msgspec.Struct) -> None:
    """The whole line, however long."""
    data = msgspec.json.encode(line) + b"\n"
    while data:
        data = data[os.write(1, data) :]


def figures(hive: Hive) -> Figures:
    longest, hive.longest = hive.longest, 0.0
    return Figures(
        operations=hive.operations,
        enqueued=len(hive.enqueued),
        finished=len(hive.finished),
        errors=len(hive.errors),
        longest=longest,
        oldest=hive.oldest,
    )


async def main() -> None:
    lines = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    orders = msgspec.json.decode(await _next(lines), type=Orders)
    store = open_store(choose(orders.use, Config({"stores": orders.stores})), janitor=False)
    async with store:
        hive = Hive(store, orders.agents, orders.records, orders.share, _shared(orders.seen), orders.think)
        await hive.prepare()
        say(figures(hive))
        await _next(lines)
        working = asyncio.create_task(hive.work())
        telling = asyncio.create_task(_tell(hive))
        await _next(lines)
        hive.stop()
        await working
        telling.cancel()
    say(hive.told())


async def _next(lines: asyncio.StreamReader) -> bytes:
    line = await lines.readline()
    if not line:
        os._exit(1)
    return line


async def _tell(hive: Hive) -> None:
    began = perf_counter()
    while True:
        await asyncio.sleep(EVERY - (perf_counter() - began) % EVERY)
        say(figures(hive))


def _shared(path: str | None) -> memoryview | None:
    """The numbers in this file; a change of one is seen by all who have it."""
    if path is None:
        return None
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


if __name__ == "__main__":
    asyncio.run(main())
