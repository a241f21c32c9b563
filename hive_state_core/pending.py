"""What a group was handed and has not finished; what is dead of it can be redriven or discarded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import cast

import msgspec

from hive_state_core import validate
from hive_state_core.errors import InvalidArgument, LeaseLost, NotFound
from hive_state_core.limits import CLAIM, VERSION_MAX
from hive_state_core.model import GroupRef, PendingImage
from hive_state_core.paging import pages
from hive_state_core.refusals import describe
from hive_state_core.spi import Ack, Batch, Nack, Scan
from hive_state_core.trips import Trips


class PendingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a stream that one of its groups has not finished. `Events.read` has its body.

    attempt   how often it was handed out
    consumer  whom it was handed to last
    until     when that lease ends, or it is handed out again; None if it is dead
    dead      it is not handed out any more: its deliveries are used up, or it was nacked for good
    error     text of the last failure
    """

    seq: int
    attempt: int
    consumer: str
    until: datetime | None
    dead: bool
    error: str | None


async def listed(
    trips: Trips, ref: GroupRef, dead: bool | None, timeout: float | None
) -> AsyncGenerator[PendingEvent, None]:
    """See `Events.pending`."""
    (group,) = await trips.read((ref,), timeout)
    if group is None:
        raise NotFound(f"{describe(ref)} does not exist")
    query = Scan(kind="pending", within=ref.stream, group=ref.group, dead=dead)
    async for image in pages(trips, query, timeout):
        yield _shown(cast(PendingImage, image))


async def end_dead(trips: Trips, op: Ack | Nack, timeout: float | None) -> None:
    """Commit an operation on dead deliveries. Raises NotFound if one of them is not dead."""
    try:
        await trips.commit(Batch((op,)), timeout=timeout)
    except LeaseLost as error:
        raise NotFound(f"{error.key} is not dead; nothing was changed") from error


def dead_deliveries(seqs: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """As operations name them: by token 0."""
    if not 1 <= len(seqs) <= CLAIM:
        raise InvalidArgument(f"name at least one event, and at most {CLAIM}")
    return tuple([(validate.integer(seq, "seq", 1, VERSION_MAX), 0) for seq in seqs])


def _shown(image: PendingImage) -> PendingEvent:
    return PendingEvent(
        seq=image.ref.seq,
        attempt=image.deliveries,
        consumer=image.consumer,
        until=None if image.dead else validate.instant(image.until),
        dead=image.dead,
        error=image.error,
    )
