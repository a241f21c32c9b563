"""What the tests of events and of their groups share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hive_state_core import Store
from hive_state_core.backoff import Backoff
from hive_state_core.events import Delivery

AT_ONCE = Backoff(base=0.0, jitter="none")


def before_commits(hive: Store, act: Callable[[Any], None]) -> None:
    """`act(op)` comes before each commit and may raise."""
    commit = hive._trips.commit

    async def acted(batch: Any, *args: Any, **options: Any) -> Any:
        act(batch.ops[0])
        return await commit(batch, *args, **options)

    hive._trips.commit = acted  # type: ignore[method-assign]


async def some(hive: Store, count: int = 5, stream: str = "s", group: str = "g", **options: Any) -> None:
    """A group, and events 1, 2, ... for it."""
    await hive.events.create_group(stream, group, **options)
    await hive.events.publish_many(stream, range(1, count + 1))


async def first(hive: Store, **options: Any) -> Delivery:
    (delivery,) = await hive.events.claim("s", "g", **options)
    return delivery


def bodies(found: list[Any]) -> list[Any]:
    return [each.body for each in found]
