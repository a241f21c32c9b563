"""Area T, continued: one trip with the acks of many consumers of one group."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.model import GroupImage, GroupRef, StreamRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    Committed,
    CreateGroup,
    Delivery,
    ExtendDeliveries,
    Nack,
    Op,
    Reason,
    Refused,
)

STREAM = StreamRef("s")
GROUP = GroupRef("s", "g")


async def handed_out(env: Env, count: int) -> tuple[Delivery, ...]:
    """Events of a new stream, each handed to a consumer of a new group."""
    await env.commit(Batch((CreateGroup(GROUP, 0, 5), *[Append(STREAM, b"%d" % n) for n in range(count)])))
    reply = await env.driver.claim([ClaimEvents(GROUP, "w", 60_000, count)], uuid4().hex)
    return cast(ClaimedEvents, reply.results[0]).deliveries


def named(delivery: Delivery) -> tuple[tuple[int, int], ...]:
    return ((delivery.event.seq, delivery.token),)


@check("trip.deliveries_of_one_group", area="T", number=31, needs={Facility.STREAMS})
async def deliveries_of_one_group(env: Env) -> None:
    """Contract: batches that end different deliveries of one group share a trip; a refused one is alone."""
    acked, nacked, extended, late, kept = await handed_out(env, 5)
    ops: list[Op] = [
        Ack(GROUP, named(acked)),
        Nack(GROUP, named(nacked), None, "poison"),
        ExtendDeliveries(GROUP, named(extended), 120_000),
        Ack(GROUP, ((late.event.seq, late.token + 1),)),
    ]
    *done, refused = (await env.trip(*(Batch((op,)) for op in ops))).results
    assert all(isinstance(outcome, Committed) for outcome in done), done
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.seq, refused.actual) == (Reason.LEASE, late.event.seq, late.token)
    (group,) = (await env.driver.read([GROUP])).results
    assert isinstance(group, GroupImage)
    assert (group.position, group.pending, group.dead) == (5, 3, 1)
    await env.commit(Batch((Ack(GROUP, (*named(extended), *named(late), *named(kept))),)))
