"""Area J, continued: what trim and drop take away, and what they must not."""

from __future__ import annotations

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_conformance.stream_tools import (
    G,
    H,
    S,
    counts,
    do,
    fill,
    group,
    head,
    named,
    pending,
    read,
    seqs,
    take,
)
from hive_state_core.errors import LeaseLost
from hive_state_core.events import Gap
from hive_state_core.features import Facility
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    CreateGroup,
    DropStream,
    ExtendDeliveries,
    Nack,
    Reason,
    Trim,
    Trimmed,
)

STREAMS = {Facility.STREAMS}


@check("stream.trim.without_groups", area="J", number=115, needs=STREAMS)
async def trim_without_groups(env: Env) -> None:
    """Contract: trim removes the events below a number, says how many, and reads say which is the first."""
    await fill(env, 5)
    assert await do(env, Trim(S, 3)) == (Trimmed(2, 0, 3),)
    page = await read(env)
    assert (seqs(page.events), page.first, page.last) == ([3, 4, 5], 3, 5)
    image = await head(env)
    assert image is not None
    assert (image.first, image.last) == (3, 5)
    again = await env.commit(Batch((Trim(S, 3),)))
    assert (again.version, again.results) == (0, (Trimmed(0, 0, 3),))
    assert await do(env, Trim(S, 99)) == (Trimmed(3, 0, 6),)
    page = await read(env)
    assert (seqs(page.events), page.first, page.last) == ([], 6, 5)
    assert await do(env, Append(S, b"6")) == (6,)


@check("stream.trim.is_a_gap", area="J", number=115, needs=STREAMS)
async def trim_is_a_gap(env: Env) -> None:
    """Contract: reading from an event that was trimmed raises Gap, which names the first that is left."""
    events = env.store.events
    await events.publish_many("s", [1, 2, 3, 4])
    assert await events.trim("s", keep=2) == Trimmed(2, 0, 3)
    error = await raises(Gap, events.read("s", start=2))
    assert isinstance(error, Gap)
    assert (error.start, error.first) == (2, 3)
    assert [event.body for event in await events.read("s")] == [3, 4]


@check("stream.trim.many", area="J", number=115, needs=STREAMS)
async def trim_many(env: Env) -> None:
    """Contract: trim removes as many events as it is told, however often the store stops on the way."""
    events = env.store.events
    await events.publish_many("s", range(1000))
    await events.publish_many("s", range(300))
    assert await events.trim("s", keep=5) == Trimmed(1295, 0, 1296)
    assert [event.seq for event in await events.read("s")] == [1296, 1297, 1298, 1299, 1300]


@check("stream.trim.keeps_the_unfinished", area="J", number=122, needs=STREAMS)
async def trim_keeps_the_unfinished(env: Env) -> None:
    """Contract: trim keeps every event that a group has pending, dead or not handed yet, and all after it."""
    await fill(env, 6, G, H)
    given = await take(env, 4)
    assert await do(env, Trim(S, 7)) == (Trimmed(0, 0, 1),), "H was handed nothing yet"
    await do(env, Ack(H, named(await take(env, ref=H))))
    assert await do(env, Trim(S, 7)) == (Trimmed(0, 0, 1),), "event 1 is pending"
    await do(env, Ack(G, named(given[:1])))
    await do(env, Nack(G, named(given[1:2]), None, "bad"))
    assert await do(env, Trim(S, 7)) == (Trimmed(1, 0, 2),), "event 2 is dead"
    await do(env, Ack(G, ((2, 0), *named(given[2:]))))
    assert await do(env, Trim(S, 7)) == (Trimmed(3, 0, 5),), "events 5 and 6 were not handed yet"
    assert seqs(await take(env)) == [5, 6]


@check("stream.trim.forced", area="J", number=122, needs=STREAMS)
async def trim_forced(env: Env) -> None:
    """Contract: a forced trim removes unfinished events too, counts each of them once, and the groups forget
    them: acks of them are refused.
    """
    await fill(env, 6, G, H)
    given = await take(env, 4)
    await do(env, Ack(G, named(given[:1])))
    await do(env, Nack(G, named(given[1:2]), None, "bad"))
    await take(env, 2, ref=H)
    assert await do(env, Trim(S, 4, force=True)) == (Trimmed(3, 3, 4),)
    assert (await counts(env), await counts(env, H)) == ((4, 1, 0), (2, 0, 0))
    assert [image.ref.seq for image in await pending(env)] == [4]
    assert (await env.refused(Batch((Ack(G, named(given[2:3])),)))).seq == 3
    await do(env, Ack(G, named(given[3:])))
    assert seqs(await take(env, ref=H)) == [4, 5, 6]


@check("stream.trim.forced_counts_the_unfinished_only", area="J", number=122, needs=STREAMS)
async def forced_counts_the_unfinished_only(env: Env) -> None:
    """Contract: what every group has finished does not count as dropped, forced or not."""
    await fill(env, 3, G)
    await do(env, Ack(G, named(await take(env, 2))))
    assert await do(env, Trim(S, 3, force=True)) == (Trimmed(2, 0, 3),)
    assert await do(env, Trim(S, 4, force=True)) == (Trimmed(1, 1, 4),)
    assert await take(env) == ()
    assert await do(env, Append(S, b"4")) == (4,)
    assert seqs(await take(env)) == [4]


@check("stream.trim.sees_its_batch", area="J", number=122, needs=STREAMS)
async def trim_sees_its_batch(env: Env) -> None:
    """Contract: a trim sees what the operations before it in its batch have acked and appended."""
    await fill(env, 3, G)
    given = await take(env)
    ops = (Append(S, b"4"), Ack(G, named(given)), Trim(S, 99))
    assert await do(env, *ops) == (4, None, Trimmed(3, 0, 4))
    assert seqs(await take(env)) == [4]


@check("stream.trim.drops_what_its_batch_published", area="J", number=122, needs=STREAMS)
async def drops_what_its_batch_published(env: Env) -> None:
    """Contract: a forced trim removes, and counts as dropped, what its own batch has published before it."""
    await fill(env, 2, G)
    await do(env, Ack(G, named(await take(env, 1))))
    assert await do(env, Append(S, b"3"), Append(S, b"4"), Trim(S, 4, force=True)) == (3, 4, Trimmed(3, 2, 4))
    assert seqs((await read(env, 4)).events) == [4]
    assert seqs(await take(env)) == [4]


@check("stream.trim.not_current_after_it", area="J", number=122, needs=STREAMS)
async def not_current_after_it(env: Env) -> None:
    """Contract: a delivery that a forced trim or a drop of the stream before it in its batch has forgotten is
    not current any more: the batch is refused as a whole.
    """
    await fill(env, 3, G)
    given = named(await take(env))
    trim = Trim(S, 3, force=True)
    for forget, op, seq in (
        (trim, Ack(G, given), 1),
        (trim, Nack(G, given[1:], 0), 2),
        (trim, ExtendDeliveries(G, given[:1], 90_000), 1),
        (DropStream(S), Ack(G, given[2:]), 3),
    ):
        refused = await env.refused(Batch((forget, op)))
        assert (refused.reason, refused.ref, refused.index, refused.seq) == (Reason.LEASE, G, 1, seq)
    assert (await read(env)).first == 1
    assert await do(env, trim, Ack(G, given[2:])) == (Trimmed(2, 2, 3), None)
    assert await counts(env) == (3, 0, 0)


@check("stream.drop", area="J", number=114, needs=STREAMS)
async def drop(env: Env) -> None:
    """Contract: a dropped stream is gone with its groups, and numbers are not used again after it."""
    await fill(env, 3, G)
    given = named(await take(env, 2))
    assert await do(env, DropStream(S)) == (True,)
    page = await read(env)
    assert (seqs(page.events), page.first, page.last) == ([], 4, 3)
    assert (await head(env), await group(env), await pending(env)) == (None, None, [])
    assert (await env.refused(Batch((Ack(G, given),)))).actual == 0
    again = await env.commit(Batch((DropStream(S),)))
    assert (again.version, again.results) == (0, (False,))
    assert await do(env, Append(S, b"4")) == (4,)
    page = await read(env)
    assert (seqs(page.events), page.first, page.last) == ([4], 4, 4)
    assert (await head(env)) is not None


@check("stream.drop.and_begin_anew", area="J", number=114, needs=STREAMS)
async def drop_and_begin_anew(env: Env) -> None:
    """Contract: one batch may drop a stream and begin it anew, with a group of the same name."""
    await fill(env, 3, G)
    await take(env, 2)
    ops = (DropStream(S), CreateGroup(G, None, 3), Append(S, b"4"))
    assert await do(env, *ops) == (True, True, 4)
    assert await counts(env) == (3, 0, 0)
    assert seqs(await take(env)) == [4]


@check("stream.drop.loses_leases", area="J", number=122, needs=STREAMS)
async def drop_loses_leases(env: Env) -> None:
    """Contract: whoever holds an event of a stream that was dropped is told so by its ack."""
    events = env.store.events
    await events.create_group("s", "g")
    await events.publish("s", 1)
    (delivery,) = await events.claim("s", "g")
    assert await events.drop("s") is True
    assert await events.drop("s") is False
    await raises(LeaseLost, events.ack(delivery))
