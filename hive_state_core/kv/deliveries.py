"""What becomes of one delivery, as pure functions from image to image, and how the group counts it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_core.kv.entities import Entities
from hive_state_core.model import EventImage, GroupImage, PendingImage, PendingRef
from hive_state_core.spi import LEASE_EXPIRED, ClaimEvents, ExtendDeliveries, Nack

Change = tuple[PendingImage | None, PendingImage | None]
"""A delivery before and after; None: there is none."""


def handed(
    old: PendingImage | None, event: EventImage, request: ClaimEvents, *, at: int, version: int
) -> PendingImage:
    """To a consumer, for the first time or again. The token is the version of the claim."""
    return PendingImage(
        ref=PendingRef(event.stream, request.ref.group, event.seq),
        version=version,
        token=version,
        deliveries=1 if old is None else old.deliveries + 1,
        consumer=request.consumer,
        until=at + request.lease,
        dead=False,
        error=None if old is None else _error(old),
    )


def used_up(pending: PendingImage, *, version: int) -> PendingImage:
    """The last lease that it may have is over."""
    return replace(pending, version=version, token=0, dead=True, error=_error(pending))


def nacked(pending: PendingImage, op: Nack, *, most: int, at: int, version: int) -> PendingImage:
    """To be handed out again, or dead. One that was dead begins anew."""
    deliveries = 0 if pending.dead else pending.deliveries - (not op.spent)
    dead = op.retry_in is None or (op.spent and deliveries >= most)
    return replace(
        pending,
        version=version,
        token=0,
        deliveries=deliveries,
        until=pending.until if dead else at + (op.retry_in or 0),
        dead=dead,
        error=op.error,
    )


def extended(pending: PendingImage, op: ExtendDeliveries, *, at: int, version: int) -> PendingImage:
    return replace(pending, version=version, until=max(pending.until, at + op.lease))


async def store(state: Entities, group: GroupImage, changes: Sequence[Change], *, version: int) -> None:
    """The deliveries, and the group with its counts."""
    for old, new in changes:
        await state.put_pending(old, new)
    pending = group.pending + sum(_pending(new) - _pending(old) for old, new in changes)
    dead = group.dead + sum(_dead(new) - _dead(old) for old, new in changes)
    await state.put_group(replace(group, version=version, pending=pending, dead=dead))


def _error(old: PendingImage) -> str | None:
    """A delivery that still has its token was not nacked: its lease ran out."""
    return LEASE_EXPIRED if old.token else old.error


def _pending(delivery: PendingImage | None) -> bool:
    return delivery is not None and not delivery.dead


def _dead(delivery: PendingImage | None) -> bool:
    return delivery is not None and delivery.dead
