"""What every hand-written competitor of `bench --raw` has to do, or it is compared for nothing.

`for check in CHECKS: await check(baseline)`, each on a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hive_state_core.baselines import Baseline

Check = Callable[[Baseline], Awaitable[None]]


async def records(baseline: Baseline) -> None:
    assert await baseline.get("a") is None
    assert await baseline.cas("a", 1, 0) is None
    assert await baseline.put("a", {"n": 1}) == 1
    assert await baseline.put("a", {"n": 2}) == 2
    assert await baseline.get("a") == ({"n": 2}, 2)
    assert await baseline.cas("a", 0, 1) is None
    assert await baseline.cas("a", {"n": 3}, 2) == 3
    await baseline.load({f"k{n}": n for n in range(2500)})
    found = sorted(await baseline.records())
    assert len(found) == 2501
    assert found[:2] == [("a", {"n": 3}, 3), ("k0", 0, 1)]


async def one_of_many_that_compare_wins(baseline: Baseline) -> None:
    await baseline.put("a", 0)
    found = await asyncio.gather(*(baseline.cas("a", n, 1) for n in range(50)))
    assert [version for version in found if version] == [2]


async def tasks(baseline: Baseline) -> None:
    assert await baseline.claim("w") is None
    first = await baseline.enqueue({"n": 0})
    rest = await baseline.fill([{"n": n} for n in range(1, 12)])
    held = [await baseline.claim("w") for _ in range(13)]
    assert [task and task.id for task in held] == [first, *rest, None]
    assert [task and task.payload for task in held[:2]] == [{"n": 0}, {"n": 1}]
    assert held[0]
    assert await baseline.complete(held[0]) is True
    assert await baseline.complete(held[0]) is False
    assert dict(await baseline.tasks()) == {first: "completed"} | dict.fromkeys(rest, "leased")


async def events(baseline: Baseline) -> None:
    assert sorted(await asyncio.gather(*(baseline.append(n) for n in range(20)))) == list(range(1, 21))
    assert len(await baseline.events()) == 20
    assert await baseline.unfinished() == 20
    taken = [await baseline.take(f"c{n % 3}") for n in range(21)]
    assert [event and event.seq for event in taken] == [*range(1, 21), None]
    assert taken[0]
    assert await baseline.ack(taken[0]) is True
    assert await baseline.ack(taken[0]) is False
    assert await baseline.unfinished() == 19


CHECKS = (records, one_of_many_that_compare_wins, tasks, events)
