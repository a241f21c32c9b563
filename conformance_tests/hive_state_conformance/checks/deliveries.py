"""Area J, continued: one delivery, from the claim to its end."""

from __future__ import annotations

import time
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.checking import check
from hive_state_conformance.env import PATIENCE, Env
from hive_state_conformance.stream_tools import (
    LEASE,
    G,
    H,
    S,
    ask,
    counts,
    do,
    fill,
    named,
    pending,
    read,
    run_out,
    seqs,
    take,
)
from hive_state_core.features import Facility
from hive_state_core.model import GroupRef, PendingImage, PendingRef, RecordRef, StreamRef, TaskRef
from hive_state_core.spi import (
    LEASE_EXPIRED,
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    Complete,
    Delivery,
    Enqueue,
    ExtendDeliveries,
    Nack,
    Put,
    Reason,
    Refused,
    Scan,
)

STREAMS = {Facility.STREAMS}
FAR = 1_000_000


async def lost_and_found(env: Env) -> tuple[Delivery, Delivery]:
    """Two deliveries of one event: the lease of the first ran out."""
    await fill(env, 1, G)
    (old,) = await take(env, lease=20, consumer="first")
    await run_out(env, [old])
    (new,) = await take(env, consumer="second")
    return old, new


def lost(delivery: Delivery, actual: int = 0, *, index: int = 0) -> Refused:
    """The refusal of an operation with a delivery that is not current."""
    seq, token = delivery.event.seq, delivery.token
    return Refused(Reason.LEASE, G, index, False, expected=token, actual=actual, seq=seq)


@check("delivery.round_trip", area="J", number=118, needs=STREAMS)
async def round_trip(env: Env) -> None:
    """Contract: a delivery holds the event as it is read, a token, and the end of its lease, counted from
    the claim; it is listed as pending until it is acked.
    """
    await fill(env, 2, G)
    await env.until(await env.now() + 2)
    reply = await env.claim(ClaimEvents(G, "me", LEASE, 9))
    given = cast(ClaimedEvents, reply.results[0]).deliveries
    assert [each.event for each in given] == list((await read(env)).events)
    assert [(each.delivery, each.until) for each in given] == [(1, reply.at + LEASE)] * 2
    assert all(each.token > each.event.version for each in given)
    assert await pending(env) == [
        PendingImage(
            ref=PendingRef("s", "g", each.event.seq),
            version=each.token,
            token=each.token,
            deliveries=1,
            consumer="me",
            until=each.until,
            dead=False,
            error=None,
        )
        for each in given
    ]
    await do(env, Ack(G, named(given)))
    assert (await pending(env), await counts(env)) == ([], (2, 0, 0))


@check("delivery.boundary", area="J", number=118, needs=STREAMS)
async def boundary(env: Env) -> None:
    """Contract: an event is handed out again from the instant its lease ends, and never before."""
    count = 10
    await fill(env, count, G, most=9)
    first = await env.claim(*(ClaimEvents(G, "c", 30 + 3 * n) for n in range(count)))
    given = [each for found in first.results for each in cast(ClaimedEvents, found).deliveries]
    assert [each.until for each in given] == [first.at + 30 + 3 * n for n in range(count)]
    ends = {each.event.seq: each.until for each in given}
    deadline = time.monotonic() + PATIENCE
    while ends:
        reply = await env.claim(ClaimEvents(G, "c", LEASE, 100))
        found = set(seqs(cast(ClaimedEvents, reply.results[0]).deliveries))
        assert found == {seq for seq, end in ends.items() if end <= reply.at}
        ends = {seq: end for seq, end in ends.items() if seq not in found}
        assert time.monotonic() < deadline, "the store's clock does not move"


@check("delivery.late_ack_fenced", area="J", number=118, needs=STREAMS)
async def late_ack_fenced(env: Env) -> None:
    """Contract: after an event was handed out again nothing of the old delivery counts: ack, nack and extend
    are refused, name both tokens, and leave the new one alone.
    """
    old, new = await lost_and_found(env)
    assert (new.delivery, new.token > old.token) == (2, True)
    before = await pending(env)
    assert (before[0].consumer, before[0].error) == ("second", LEASE_EXPIRED)
    late = named([old])
    for op in (Ack(G, late), Nack(G, late, 0), Nack(G, late, 0, spent=False), ExtendDeliveries(G, late, FAR)):
        assert await env.refused(Batch((op,))) == lost(old, new.token)
    assert await pending(env) == before
    await do(env, Ack(G, named([new])))
    assert await env.refused(Batch((Ack(G, late),))) == lost(old)


@check("delivery.late_but_not_taken", area="J", number=118, needs=STREAMS)
async def late_but_not_taken(env: Env) -> None:
    """Contract: a lease that is over but was not taken away yet still acks, and can be extended."""
    await fill(env, 2, G)
    given = await take(env, lease=20)
    await run_out(env, given)
    extended = await env.commit(Batch((ExtendDeliveries(G, named(given[:1]), LEASE),)))
    await do(env, Ack(G, named(given[1:])))
    assert await take(env) == ()
    (left,) = await pending(env)
    assert (left.ref.seq, left.token, left.until) == (1, given[0].token, extended.at + LEASE)


@check("delivery.ack.once", area="J", number=119, needs=STREAMS)
async def ack_once(env: Env) -> None:
    """Contract: an acked event does not come back; acking it again, or one that was never handed out, is
    refused.
    """
    await fill(env, 3, G, H)
    given = await take(env, 2, lease=20)
    await do(env, Ack(G, named(given)))
    await run_out(env, given)
    assert seqs(await take(env)) == [3]
    assert await env.refused(Batch((Ack(G, named(given)),))) == lost(given[0])
    never = await env.refused(Batch((Ack(G, ((99, 7),)),)))
    assert (never.seq, never.expected, never.actual) == (99, 7, 0)
    assert (await env.refused(Batch((Ack(H, named(given)),)))).ref == H, "another group's delivery"


@check("delivery.ack.all_or_nothing", area="J", number=119, needs=STREAMS)
async def ack_all_or_nothing(env: Env) -> None:
    """Contract: one stale delivery refuses the whole batch; the first stale one is named, and nothing else of
    the batch is there.
    """
    await fill(env, 4, G)
    given = await take(env)
    (first, token) = named(given)[1]
    stale = ((first, token + 1), (3, token + 2))
    refused = await env.refused(Batch((Append(S, b"5"), Ack(G, (named(given)[0], *stale)))))
    assert (refused.index, refused.seq, refused.expected, refused.actual) == (1, 2, token + 1, token)
    assert (await counts(env), (await read(env)).last) == ((4, 4, 0), 4)
    assert [image.token for image in await pending(env)] == [each.token for each in given]


@check("delivery.ack.with_all_kinds", area="J", number=119, needs={*STREAMS, Facility.TASKS})
async def ack_with_all_kinds(env: Env) -> None:
    """Contract: acking, completing, putting and publishing are one commit."""
    await fill(env, 1, G)
    await do(env, Enqueue(TaskRef("t"), "q", b"1"))
    (task,) = await env.claim_some("q")
    given = named(await take(env))
    rest = (Complete(task.ref, task.token), Put(RecordRef("c", "k"), b"1"), Append(StreamRef("t"), b"1"))
    await env.refused(Batch((Ack(G, given), *rest[1:], Complete(task.ref, task.token + 1))))
    assert (await counts(env), await env.record("c", "k")) == ((1, 1, 0), None)
    assert await do(env, Ack(G, given), *rest) == (None, None, None, 1)
    assert await counts(env) == (1, 0, 0)


@check("delivery.named_twice", area="J", number=119, needs=STREAMS)
async def named_twice(env: Env) -> None:
    """Contract: a delivery that an operation names twice is changed once."""
    await fill(env, 1, G)
    given = named(await take(env))
    await do(env, Nack(G, given + given, 0, spent=False))
    (again,) = await take(env)
    assert again.delivery == 1
    await do(env, Ack(G, named([again, again])))
    assert await counts(env) == (1, 0, 0)


@check("delivery.nack.obeys_the_delay", area="J", number=118, needs=STREAMS)
async def nack_obeys_the_delay(env: Env) -> None:
    """Contract: a nacked event is handed out again once its delay is over, not before, with its error kept;
    meanwhile nobody holds it.
    """
    await fill(env, 1, G)
    given = await take(env)
    nacked = await env.commit(Batch((Nack(G, named(given), 60, "bad"),)))
    (image,) = await pending(env)
    assert (image.token, image.until, image.error, image.dead) == (0, nacked.at + 60, "bad", False)
    assert image.version == nacked.version
    assert await env.refused(Batch((Ack(G, named(given)),))) == lost(given[0])
    deadline = time.monotonic() + PATIENCE
    while True:
        reply = await env.claim(ClaimEvents(G, "c", LEASE))
        found = cast(ClaimedEvents, reply.results[0]).deliveries
        assert bool(found) == (reply.at >= image.until)
        if found:
            break
        assert time.monotonic() < deadline, "the store's clock does not move"
    assert (found[0].delivery, [each.error for each in await pending(env)]) == (2, ["bad"])


@check("delivery.dead.by_nack", area="J", number=123, needs=STREAMS)
async def dead_by_nack(env: Env) -> None:
    """Contract: an event is dead once its deliveries are used up, or at once when it is nacked for good; it
    is handed out no more, and holds up no other.
    """
    await fill(env, 3, G, most=2)
    given = await take(env, 2)
    await do(env, Nack(G, named(given[:1]), None, "for good"))
    await do(env, Nack(G, named(given[1:]), 0, "once"))
    (again,) = await take(env, 1)
    await do(env, Nack(G, named([again]), 0, "twice"))
    assert seqs(await take(env)) == [3]
    dead = await pending(env, dead=True)
    found = [(each.ref.seq, each.token, each.deliveries, each.error) for each in dead]
    assert found == [(1, 0, 1, "for good"), (2, 0, 2, "twice")]
    assert await counts(env) == (3, 1, 2)


@check("delivery.dead.by_expiry", area="J", number=123, needs=STREAMS)
async def dead_by_expiry(env: Env) -> None:
    """Contract: an event whose last lease ran out is dead from the next claim on; until then its holder may
    ack it.
    """
    await fill(env, 3, G, most=1)
    given = await take(env, 2, lease=20)
    await run_out(env, given)
    await do(env, Ack(G, named(given[1:])))
    assert seqs(await take(env)) == [3]
    (dead,) = await pending(env, dead=True)
    assert (dead.ref.seq, dead.token, dead.deliveries, dead.error) == (1, 0, 1, LEASE_EXPIRED)
    assert await counts(env) == (3, 1, 1)
    assert await env.refused(Batch((Ack(G, named(given[:1])),))) == lost(given[0])


@check("delivery.unspent", area="J", number=123, needs=STREAMS)
async def unspent(env: Env) -> None:
    """Contract: a delivery that is given back unspent does not count, and does not make the event dead, be it
    the last.
    """
    await fill(env, 1, G, most=1)
    for _ in range(3):
        (given,) = await take(env)
        assert given.delivery == 1
        await do(env, Nack(G, named([given]), 0, spent=False))
        assert await counts(env) == (1, 1, 0)
    (given,) = await take(env)
    await do(env, Nack(G, named([given]), None, spent=False))
    assert await counts(env) == (1, 0, 1)


@check("delivery.dead.redriven", area="J", number=123, needs=STREAMS)
async def dead_redriven(env: Env) -> None:
    """Contract: token 0 names a dead delivery: nack hands it out again, counted anew, ack discards it."""
    await fill(env, 3, G, most=1)
    await do(env, Nack(G, named(await take(env)), None, "bad"))
    await do(env, Nack(G, ((1, 0), (3, 0)), 0))
    assert await counts(env) == (3, 2, 1)
    again = await take(env)
    assert [(each.event.seq, each.delivery) for each in again] == [(1, 1), (3, 1)]
    await do(env, Ack(G, ((2, 0),)))
    assert await counts(env) == (3, 2, 0)
    await do(env, Nack(G, named(again[:1]), 0))
    assert await counts(env) == (3, 1, 1)


@check("delivery.dead.token_0_is_no_other", area="J", number=123, needs=STREAMS)
async def token_0_is_no_other(env: Env) -> None:
    """Contract: token 0 is not that of a delivery that is leased, waits to be handed out again, or is not
    there; and what is dead cannot be extended.
    """
    await fill(env, 3, G)
    given = await take(env)
    await do(env, Nack(G, named(given[:1]), FAR))
    for seq, actual in ((1, 0), (2, given[1].token), (9, 0)):
        for op in (Ack(G, ((seq, 0),)), Nack(G, ((seq, 0),), 0), ExtendDeliveries(G, ((seq, 0),), FAR)):
            refused = await env.refused(Batch((op,)))
            assert refused == Refused(Reason.LEASE, G, 0, False, expected=0, actual=actual, seq=seq)
    await do(env, Nack(G, named(given[2:]), None))
    before = await pending(env)
    refused = await env.refused(Batch((ExtendDeliveries(G, ((3, 0),), FAR),)))
    assert (refused.reason, refused.seq) == (Reason.LEASE, 3)
    assert await pending(env) == before


@check("delivery.extend", area="J", number=118, needs=STREAMS)
async def extend(env: Env) -> None:
    """Contract: extend counts from now, keeps the token and the count, and never brings the end nearer."""
    await fill(env, 2, G)
    given = await take(env, lease=40)
    shorter = await env.commit(Batch((ExtendDeliveries(G, named(given[:1]), 1),)))
    extended = await env.commit(Batch((ExtendDeliveries(G, named(given[1:]), LEASE),)))
    first, second = await pending(env)
    assert (first.until, second.until) == (max(given[0].until, shorter.at + 1), extended.at + LEASE)
    assert (second.token, second.deliveries) == (given[1].token, 1)
    await run_out(env, given)
    again = await take(env)
    assert [(each.event.seq, each.delivery) for each in again] == [(1, 2)]
    await do(env, Ack(G, (*named(again), *named(given[1:]))))
    assert await counts(env) == (2, 0, 0)


@check("delivery.tokens_grow", area="J", number=118, needs=STREAMS)
async def tokens_grow(env: Env) -> None:
    """Contract: every delivery of an event has a higher token than those before it, after seek and in a group
    that was made anew too.
    """
    await fill(env, 1, G, most=9)
    tokens = []
    for _ in range(3):
        (given,) = await take(env)
        tokens.append(given.token)
        await do(env, Nack(G, named([given]), 0))
    await env.store.events.seek("s", "g", "beginning")
    tokens += [each.token for each in await take(env)]
    await env.store.events.drop_group("s", "g")
    await env.store.events.create_group("s", "g", start="beginning")
    tokens += [each.token for each in await take(env)]
    assert len(tokens) == 5
    assert tokens == sorted(set(tokens))


@check("delivery.scan", area="J", number=123, needs=STREAMS)
async def scan(env: Env) -> None:
    """Contract: what a group has not finished is listed in the order of the numbers, page by page, up and
    down, all of it or what is dead, or is not.
    """
    await fill(env, 12, G, H)
    given = await take(env)
    await do(env, Nack(G, named(given[1::5]), None))  # 2, 7, 12
    await do(env, Ack(G, named(given[3:5])))

    async def found(dead: bool | None = None, reverse: bool = False) -> list[int]:
        seen: list[int] = []
        query = Scan(kind="pending", within="s", group="g", limit=3, dead=dead, reverse=reverse)
        while True:
            page = await env.driver.scan(query)
            seen += [cast(PendingImage, image).ref.seq for image in page.items]
            if page.next is None:
                return seen
            assert len(page.items) <= 3
            query = replace(query, after=page.next)

    left = [1, 2, 3, 6, 7, 8, 9, 10, 11, 12]
    assert await found() == left
    assert await found(reverse=True) == left[::-1]
    assert await found(dead=True) == [2, 7, 12]
    assert await found(dead=False, reverse=True) == [11, 10, 9, 8, 6, 3, 1]
    count = Scan(kind="pending", within="s", group="g", dead=True, count=True)
    assert (await env.driver.scan(count)).total == 3
    assert await pending(env, H) == await pending(env, GroupRef("s", "nobody")) == []


@check("delivery.next_due_of_the_dead", area="J", number=123, needs=STREAMS)
async def next_due_of_the_dead(env: Env) -> None:
    """Contract: what is dead is not waited for."""
    await fill(env, 1, G)
    await do(env, Nack(G, named(await take(env)), None))
    assert (await ask(env)).next_due_in is None
