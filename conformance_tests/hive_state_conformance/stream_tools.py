"""What the checks of streams and groups share: short forms of the driver's calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from hive_state_conformance.env import Env
from hive_state_core.model import EventImage, GroupImage, GroupRef, PendingImage, StreamImage, StreamRef
from hive_state_core.spi import (
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    CreateGroup,
    Delivery,
    Op,
    OpResult,
    Scan,
    StreamPage,
    StreamRead,
)

S, T = StreamRef("s"), StreamRef("t")
G, H = GroupRef("s", "g"), GroupRef("s", "h")

LEASE = 60_000
"""Longer than any check."""


async def do(env: Env, *ops: Op) -> tuple[OpResult, ...]:
    """One batch that is not refused; its results."""
    return (await env.commit(Batch(ops))).results


async def fill(env: Env, count: int, *groups: GroupRef, ref: StreamRef = S, most: int = 3) -> None:
    """Groups that begin at the beginning, and events with the bodies 1, 2, ... for them."""
    made = [CreateGroup(group, 0, most) for group in groups]
    await do(env, *made, *(Append(ref, b"%d" % n) for n in range(1, count + 1)))


async def read(env: Env, start: int = 1, limit: int = 100, *, ref: StreamRef = S) -> StreamPage:
    (page,) = (await env.driver.stream([StreamRead(ref, start, limit)])).results
    return page


async def ask(
    env: Env, limit: int = 100, *, ref: GroupRef = G, lease: int = LEASE, consumer: str = "c"
) -> ClaimedEvents:
    """One claim."""
    (found,) = (await env.claim(ClaimEvents(ref, consumer, lease, limit))).results
    return cast(ClaimedEvents, found)


async def take(
    env: Env, limit: int = 100, *, ref: GroupRef = G, lease: int = LEASE, consumer: str = "c"
) -> tuple[Delivery, ...]:
    """What one claim is handed."""
    found = await ask(env, limit, ref=ref, lease=lease, consumer=consumer)
    assert not found.missing, f"there is no {ref}"
    return found.deliveries


async def run_out(env: Env, given: Iterable[Delivery]) -> None:
    """Wait until these leases are over."""
    await env.until(max(each.until for each in given))


async def pending(env: Env, ref: GroupRef = G, *, dead: bool | None = None) -> list[PendingImage]:
    """What the group was handed and has not finished."""
    page = await env.driver.scan(Scan(kind="pending", within=ref.stream, group=ref.group, dead=dead))
    return list(cast("Sequence[PendingImage]", page.items))


async def group(env: Env, ref: GroupRef = G) -> GroupImage | None:
    (image,) = (await env.driver.read([ref])).results
    return cast("GroupImage | None", image)


async def counts(env: Env, ref: GroupRef = G) -> tuple[int, int, int]:
    """(position, pending, dead) of a group that must be there."""
    image = await group(env, ref)
    assert image is not None, f"there is no {ref}"
    return image.position, image.pending, image.dead


async def head(env: Env, ref: StreamRef = S) -> StreamImage | None:
    (image,) = (await env.driver.read([ref])).results
    return cast("StreamImage | None", image)


def seqs(found: Iterable[Delivery | EventImage]) -> list[int]:
    return [each.event.seq if isinstance(each, Delivery) else each.seq for each in found]


def named(given: Iterable[Delivery]) -> tuple[tuple[int, int], ...]:
    """As operations name them."""
    return tuple([(each.event.seq, each.token) for each in given])
