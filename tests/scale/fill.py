"""A large hive at rest, to move: `python tests/scale/fill.py URL [RECORDS [TASKS]]`. The store has to be new.

python tests/scale/fill.py sqlite:///large.db 1000000 200000
hive-state migrate run --offline --from sqlite:///large.db --to postgres://... --raw
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.codec import encode
from hive_state_core.model import Image, RecordImage, RecordRef, TaskImage, TaskRef, TaskState
from hive_state_core.spi import ControlState, Replication

PAGE = 5000
DAY = 24 * 3600 * 1000
STATES = (TaskState.READY, TaskState.COMPLETED, TaskState.LEASED, TaskState.DEAD)


def record(n: int, at: int) -> RecordImage:
    """About 200 bytes; one in ten has an index entry, one in seven a TTL."""
    value, _ = encode({"id": n, "name": f"agent-{n}", "notes": "x" * 150, "score": n * 1.5})
    return RecordImage(
        ref=RecordRef(f"c{n % 10}", f"key-{n:08}"),
        version=n + 1,
        created_version=n + 1,
        value=value,
        raw=False,
        index=(("n", n % 100),) if n % 10 == 0 else (),
        created_at=at,
        updated_at=at,
        expires_at=None if n % 7 else at + 10 * DAY,
    )


def task(n: int, at: int) -> TaskImage:
    """Of five queues, a quarter in each state; one in three holds a dedupe key."""
    state = STATES[n % 4]
    leased, ended = state is TaskState.LEASED, state in (TaskState.COMPLETED, TaskState.DEAD)
    return TaskImage(
        ref=TaskRef(f"t-{n:08}"),
        version=n + 1,
        queue=f"q{n % 5}",
        state=state,
        priority=5,
        order=n + 1,
        due_at=at,
        payload=encode({"job": n, "notes": "y" * 100})[0],
        raw=False,
        dedupe_key=f"d{n}" if n % 3 == 0 else None,
        requires=(),
        parents=(),
        unmet=0,
        attempt=0 if state is TaskState.READY else 1,
        max_attempts=5,
        token=n + 1 if leased else 0,
        lease_until=at + DAY if leased else None,
        worker="w" if leased else None,
        cancel_requested=False,
        error=None,
        result=b"1" if state is TaskState.COMPLETED else None,
        result_raw=False,
        created_at=at,
        updated_at=at,
        finished_at=at if ended else None,
    )


async def load(port: Replication, make: Callable[[int, int], Image], count: int) -> None:
    at = time.time_ns() // 1_000_000
    for first in range(0, count, PAGE):
        await port.load([make(n, at) for n in range(first, min(first + PAGE, count))])


async def main(url: str, records: int, tasks: int) -> None:
    async with open_store(url, janitor=False) as hive:
        port = hive.replication()
        row = await port.control()
        row = await port.control(row.epoch, replace(row, state=ControlState.STANDBY))
        await load(port, record, records)
        await load(port, task, tasks)
        await port.control(row.epoch, replace(row, state=ControlState.OPEN, term=row.term + 1))


if __name__ == "__main__":
    counts = [int(argument) for argument in sys.argv[2:4]]
    asyncio.run(main(sys.argv[1], *(counts + [100_000, 20_000][len(counts) :])))
