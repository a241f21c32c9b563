"""Area J, continued: consumer groups and what they are handed."""

from __future__ import annotations

from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env, raises, together
from hive_state_conformance.stream_tools import (
    LEASE,
    G,
    H,
    S,
    ask,
    counts,
    do,
    fill,
    group,
    named,
    pending,
    read,
    run_out,
    seqs,
    take,
)
from hive_state_core.errors import NotFound
from hive_state_core.features import Facility
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupImage, GroupRef, StreamRef, TaskRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimedTasks,
    ClaimEvents,
    ClaimTasks,
    CreateGroup,
    DropGroup,
    Enqueue,
    Nack,
    Reason,
    Scan,
    Seek,
    Trim,
)
from hive_state_core.store import Store

STREAMS = {Facility.STREAMS}


@check("group.create.begins_behind_its_position", area="J", number=120, needs=STREAMS)
async def begins_behind_its_position(env: Env) -> None:
    """Contract: a group is handed what comes after its position: all, some, or only what comes from now on; a
    position beyond the last event is that event.
    """
    await fill(env, 3)
    begins = {"all": 0, "some": 2, "last": 3, "beyond": 99, "now": None}
    groups = {name: GroupRef("s", name) for name in begins}
    made = await env.commit(Batch(tuple(CreateGroup(groups[name], at, 7) for name, at in begins.items())))
    assert made.results == (True,) * 5
    for name, position in {"all": 0, "some": 2, "last": 3, "beyond": 3, "now": 3}.items():
        image = await group(env, groups[name])
        assert image == GroupImage(
            ref=groups[name], version=made.version, position=position, max_deliveries=7, pending=0, dead=0
        )
    await do(env, Append(S, b"4"))
    found = {name: seqs(await take(env, ref=ref)) for name, ref in groups.items()}
    assert found == {"all": [1, 2, 3, 4], "some": [3, 4], "last": [4], "beyond": [4], "now": [4]}


@check("group.create.before_its_stream", area="J", number=120, needs=STREAMS)
async def before_its_stream(env: Env) -> None:
    """Contract: a group may be there before its stream, and a batch that appends and makes a group sees its
    own appends.
    """
    await do(env, CreateGroup(G, 5, 3))
    assert await counts(env) == (0, 0, 0)
    assert (await read(env)).last == 0
    assert await do(env, Append(S, b"1"), CreateGroup(H, None, 3), Append(S, b"2")) == (1, True, 2)
    assert (seqs(await take(env)), seqs(await take(env, ref=H))) == ([1, 2], [2])


@check("group.create.twice", area="J", number=120, needs=STREAMS)
async def create_twice(env: Env) -> None:
    """Contract: making a group that exists gives False and leaves it as it is."""
    await fill(env, 3, G)
    await take(env, 2)
    before = await group(env)
    again = await env.commit(Batch((CreateGroup(G, 0, 9),)))
    assert (again.version, again.results) == (0, (False,))
    assert await group(env) == before


@check("group.missing", area="J", number=120, needs=STREAMS)
async def missing(env: Env) -> None:
    """Contract: a claim says that there is no such group, beside other claims of its trip; seek and ack are
    refused, and users see NotFound.
    """
    await fill(env, 1, G)
    reply = await env.claim(ClaimEvents(H, "c", LEASE), ClaimEvents(G, "c", LEASE))
    none, some = cast("tuple[ClaimedEvents, ClaimedEvents]", tuple(reply.results))
    assert none == ClaimedEvents((), missing=True)
    assert (some.missing, seqs(some.deliveries)) == (False, [1])
    refused = await env.refused(Batch((Append(S, b"2"), Seek(H, 0))))
    assert (refused.reason, refused.ref, refused.index) == (Reason.MISSING, H, 1)
    assert (await env.refused(Batch((Ack(H, ((1, 7),)),)))).reason is Reason.LEASE
    assert await do(env, DropGroup(H)) == (False,)
    events = env.store.events
    await raises(NotFound, events.claim("s", "h"))
    await raises(NotFound, events.seek("s", "h", "beginning"))
    await raises(NotFound, events.lag("s", "h"))
    await raises(NotFound, anext(events.consume("s", group="h", create=False)))
    assert (await read(env)).last == 1


@check("group.claim.each_event_once", area="J", number=117, needs=STREAMS)
async def each_event_once(env: Env) -> None:
    """Contract: each event goes to one consumer of a group, and to every group; claims of one trip are
    served in their order.
    """
    await fill(env, 5, G, H)
    reply = await env.claim(
        ClaimEvents(G, "a", LEASE, 2), ClaimEvents(H, "a", LEASE, 4), ClaimEvents(G, "b", LEASE, 9)
    )
    found = [seqs(cast(ClaimedEvents, each).deliveries) for each in reply.results]
    assert found == [[1, 2], [1, 2, 3, 4], [3, 4, 5]]
    assert [image.consumer for image in await pending(env)] == ["a", "a", "b", "b", "b"]
    assert (await counts(env), await counts(env, H)) == ((5, 5, 0), (4, 4, 0))
    assert (await take(env), seqs(await take(env, ref=H))) == ((), [5])


@check("group.claim.race", area="J", number=117, needs=STREAMS, tier=Tier.RACE)
async def claim_race(env: Env) -> None:
    """Contract: consumers of a group that race never hold the same event, and together get all of them, in
    each group.
    """
    stores = await with_peer(env)
    events = env.store.events
    for name in ("g", "h"):
        await events.create_group("s", name)
    await events.publish_many("s", range(100))
    held: dict[str, list[int]] = {"g": [], "h": []}

    async def consume(store: Store, name: str, limit: int) -> None:
        while given := await store.events.claim("s", name, limit=limit):
            held[name] += [delivery.seq for delivery in given]
            await store.events.ack(*given)

    await together(*(consume(stores[n % len(stores)], "gh"[n % 2], n % 3 + 1) for n in range(10)))
    assert {name: sorted(own) for name, own in held.items()} == {
        "g": list(range(1, 101)),
        "h": list(range(1, 101)),
    }
    assert (await counts(env), await counts(env, H)) == ((100, 0, 0), (100, 0, 0))


@check("group.claim.again_before_new", area="J", number=118, needs=STREAMS)
async def again_before_new(env: Env) -> None:
    """Contract: what is to be handed out again comes first, in the order of the seqs, whatever the order in
    which it came back; then what is new.
    """
    await fill(env, 5, G)
    given = await take(env, 3)
    for place in (2, 0, 1):
        await do(env, Nack(G, named(given[place : place + 1]), 0))
    again = await take(env, 4)
    assert [(each.event.seq, each.delivery) for each in again] == [(1, 2), (2, 2), (3, 2), (4, 1)]
    assert (await counts(env))[0] == 4


@check("group.claim.limit", area="J", number=117, needs=STREAMS)
async def claim_limit(env: Env) -> None:
    """Contract: a claim gets what its limit says, and the rest is there for the next; one that finds nothing
    changes nothing.
    """
    await fill(env, 5, G)
    assert [seqs(await take(env, limit)) for limit in (1, 3, 9)] == [[1], [2, 3, 4], [5]]
    before = await group(env)
    assert await take(env) == ()
    assert await group(env) == before


@check("group.claim.large_ones_end_early", area="J", number=117, needs=STREAMS)
async def large_ones_end_early(env: Env) -> None:
    """Contract: a claim that would pass the bound of a reply ends early, after one event at least, asks to
    be repeated at once, and skips none.
    """
    size = REPLY_BYTES // 2 + 1000
    await do(env, CreateGroup(G, 0, 3))
    for _ in range(3):
        await do(env, Append(S, bytes(size), raw=True))
    found: list[int] = []
    for _ in range(3):
        claimed = await ask(env)
        assert 0 < len(claimed.deliveries) < 3 or len(found) == 3
        found += seqs(claimed.deliveries)
        assert len(found) == 3 or claimed.next_due_in == 0
    assert found == [1, 2, 3]
    assert await counts(env) == (3, 3, 0)


@check("group.claim.next_due", area="J", number=118, needs=STREAMS)
async def next_due(env: Env) -> None:
    """Contract: a claim that finds too little may say how long to wait before asking again, and never says
    too long.
    """
    await fill(env, 2, G)
    (first,) = await take(env, 1, lease=90_000)
    for name, lease, longest in (("leased", 40_000, 40_000), ("nacked", 30_000, 5_000)):
        if name == "nacked":
            await do(env, Nack(G, named([first]), 5_000))
        due_in = (await ask(env, lease=lease)).next_due_in
        assert due_in is None or 0 <= due_in <= longest, f"{name}: {due_in}"


@check("group.claim.skips_the_trimmed", area="J", number=122, needs=STREAMS)
async def skips_the_trimmed(env: Env) -> None:
    """Contract: a group that fell behind a forced trim is handed the first event that is left."""
    await fill(env, 6, G, H)
    await take(env, 2)
    await do(env, Trim(S, 5, force=True))
    assert (seqs(await take(env, 1)), seqs(await take(env, ref=H))) == ([5], [5, 6])
    await do(env, Trim(S, 99, force=True))
    assert (await take(env), await take(env, ref=H)) == ((), ())
    await do(env, Append(S, b"7"))
    assert (seqs(await take(env)), seqs(await take(env, ref=H))) == ([7], [7])


@check("group.claim.with_tasks", area="J", number=117, needs={*STREAMS, Facility.TASKS})
async def claim_with_tasks(env: Env) -> None:
    """Contract: one trip may claim tasks and events, each request gets its own."""
    await fill(env, 2, G)
    await do(env, Enqueue(TaskRef("t"), "q", b"1"), Enqueue(TaskRef("u"), "q", b"1"))
    reply = await env.claim(
        ClaimEvents(G, "c", LEASE, 1), ClaimTasks("q", "w", LEASE, 9), ClaimEvents(G, "c", LEASE, 9)
    )
    first, tasks, second = reply.results
    assert seqs(cast(ClaimedEvents, first).deliveries) == [1]
    assert [task.ref.id for task in cast(ClaimedTasks, tasks).tasks] == ["t", "u"]
    assert seqs(cast(ClaimedEvents, second).deliveries) == [2]


@check("group.seek", area="J", number=120, needs=STREAMS)
async def seek(env: Env) -> None:
    """Contract: seek lets a group go on from anywhere, forward and back, within what there is, and forgets
    what is pending or dead: late acks of that are refused.
    """
    await fill(env, 5, G)
    given = await take(env, 3)
    await do(env, Nack(G, named(given[:1]), None))
    for position, found, after in ((1, [2, 3, 4, 5], 1), (4, [5], 4), (99, [], 5), (0, [1, 2, 3, 4, 5], 0)):
        await do(env, Seek(G, position))
        assert await counts(env) == (after, 0, 0)
        assert await pending(env) == []
        again = await take(env)
        assert seqs(again) == found
        assert {each.delivery for each in again} <= {1}
    refused = await env.refused(Batch((Ack(G, named(given[1:2])),)))
    assert (refused.seq, refused.expected) == (2, given[1].token)
    assert refused.actual > given[1].token


@check("group.drop", area="J", number=120, needs=STREAMS)
async def drop(env: Env) -> None:
    """Contract: a dropped group is gone with what it has pending, holds up no trim, and may be made anew."""
    await fill(env, 3, G, H)
    given = await take(env, 2)
    assert await do(env, DropGroup(G)) == (True,)
    assert (await group(env), await pending(env), (await ask(env)).missing) == (None, [], True)
    assert (await counts(env, H)) == (0, 0, 0)
    await env.refused(Batch((Ack(G, named(given)),)))
    assert await do(env, CreateGroup(G, 1, 3)) == (True,)
    assert await counts(env) == (1, 0, 0)
    again = await take(env)
    assert [(each.event.seq, each.delivery) for each in again] == [(2, 1), (3, 1)]


@check("group.scan", area="J", number=125, needs=STREAMS)
async def scan(env: Env) -> None:
    """Contract: the groups of a stream are listed in the order of their names, with what they have pending
    and dead, and those of no other stream.
    """
    await fill(env, 3, *(GroupRef("s", name) for name in ("b", "a", "c")))
    await fill(env, 1, GroupRef("t", "z"), ref=StreamRef("t"))
    given = await take(env, 2, ref=GroupRef("s", "b"))
    await do(env, Nack(GroupRef("s", "b"), named(given[:1]), None))
    page = await env.driver.scan(Scan(kind="group", within="s", limit=2))
    rest = await env.driver.scan(Scan(kind="group", within="s", limit=2, after=page.next))
    images = cast("list[GroupImage]", [*page.items, *rest.items])
    found = [(image.ref.group, image.position, image.pending, image.dead) for image in images]
    assert found == [("a", 0, 0, 0), ("b", 2, 1, 1), ("c", 0, 0, 0)]
    back = await env.driver.scan(Scan(kind="group", within="s", reverse=True, stop="c"))
    assert [cast(GroupImage, image).ref.group for image in back.items] == ["b", "a"]
    assert (await env.driver.scan(Scan(kind="group", within="s", count=True))).total == 3
    assert list((await env.driver.read([image.ref for image in images])).results) == images


@check("group.stats", area="J", number=125, needs=STREAMS)
async def stats(env: Env) -> None:
    """Contract: stats count the events of streams, and of groups what they were not handed, have pending and
    dead, and the instant of the oldest that is not finished.
    """
    await fill(env, 4, G, H)
    second = await env.commit(Batch((Append(S, b"5"),)))
    given = await take(env, 3)
    await do(env, Ack(G, named(given[:1])))
    await do(env, Nack(G, named(given[1:2]), None))
    await do(env, Ack(H, named(await take(env, 4, ref=H))))
    found = await env.driver.stats()
    instants = [event.at for event in (await read(env)).events]
    assert found.streams == {"s": 5}
    g, h = found.groups["s", "g"], found.groups["s", "h"]
    assert (g.position, g.lag, g.pending, g.dead, g.oldest_at) == (3, 2, 1, 1, instants[1])
    assert (h.position, h.lag, h.pending, h.dead, h.oldest_at) == (4, 1, 0, 0, second.at)
    await do(env, Ack(H, named(await take(env, ref=H))))
    await do(env, Trim(S, 5, force=True))
    found = await env.driver.stats()
    assert found.streams == {"s": 1}
    g, h = found.groups["s", "g"], found.groups["s", "h"]
    assert (g.lag, g.pending, g.dead, g.oldest_at) == (1, 0, 0, second.at)
    assert (h.lag, h.oldest_at) == (0, None)
    await env.store.events.drop("s")
    found = await env.driver.stats()
    assert (found.streams, found.groups) == ({}, {})


@check("group.survives_reopen", area="J", number=121, needs=STREAMS)
async def survives_reopen(env: Env) -> None:
    """Contract: what a consumer that went away had pending is not lost: it is there for its lease, and then
    goes to another, at whatever connection.
    """
    await fill(env, 3, G)
    kept, short = await take(env, 1), await take(env, 1, lease=30)
    await env.reopen()
    assert await counts(env) == (2, 2, 0)
    await run_out(env, short)
    again = await take(env, consumer="other")
    assert [(each.event.seq, each.delivery) for each in again] == [(2, 2), (3, 1)]
    await do(env, Ack(G, (*named(kept), *named(again))))
    await env.refused(Batch((Ack(G, named(short)),)))
    assert await counts(env) == (3, 0, 0)
