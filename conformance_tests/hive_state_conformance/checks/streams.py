"""Area J: events in their streams, appended and read by number."""

from __future__ import annotations

import asyncio
from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env, together
from hive_state_conformance.harness import driver_of
from hive_state_conformance.stream_tools import S, T, do, fill, head, read, seqs
from hive_state_core.features import Facility
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EventImage, RecordRef, StreamImage, StreamRef, TaskRef
from hive_state_core.spi import (
    Append,
    Batch,
    Committed,
    Enqueue,
    Put,
    Refused,
    Scan,
    StreamRead,
    VersionIs,
)
from hive_state_core.store import Store

STREAMS = {Facility.STREAMS}
ABSENT = (VersionIs(RecordRef("c", "there"), 0),)


@check("stream.append.round_trip", area="J", number=112, needs=STREAMS)
async def append_round_trip(env: Env) -> None:
    """Contract: an event comes back with its seq, its body, and the version and instant of its commit."""
    first = await env.commit(Batch((Append(S, b'{"n":1}'),)))
    second = await env.commit(Batch((Append(S, b"\x00\xff", raw=True), Append(S, b"null"))))
    assert (first.results, second.results) == ((1,), (2, 3))
    page = await read(env)
    assert (page.first, page.last) == (1, 3)
    assert list(page.events) == [
        EventImage(stream="s", seq=1, version=first.version, body=b'{"n":1}', raw=False, at=first.at),
        EventImage(stream="s", seq=2, version=second.version, body=b"\x00\xff", raw=True, at=second.at),
        EventImage(stream="s", seq=3, version=second.version, body=b"null", raw=False, at=second.at),
    ]
    image = StreamImage(ref=S, version=second.version, first=1, last=3, dropped=False)
    assert await head(env) == image


@check("stream.append.many_of_one_trip", area="J", number=116, needs=STREAMS)
async def many_of_one_trip(env: Env) -> None:
    """Contract: appends of a trip are numbered in the order of its batches and their operations, those of
    one batch side by side.
    """
    batches = [Batch((Append(S, b"1"), Append(T, b"2"), Append(S, b"3"))) for _ in range(40)]
    single = [Batch((Append(S, b"4"),)) for _ in range(20)]
    reply = await env.trip(*batches, *single)
    results = [cast(Committed, outcome).results for outcome in reply.results]
    assert results[:40] == [(2 * n + 1, n + 1, 2 * n + 2) for n in range(40)]
    assert results[40:] == [(n,) for n in range(81, 101)]
    assert [event.body for event in (await read(env)).events] == [b"1", b"3"] * 40 + [b"4"] * 20


@check("stream.append.refused_leaves_no_gap", area="J", number=116, needs=STREAMS)
async def refused_leaves_no_gap(env: Env) -> None:
    """Contract: a refused batch appends nothing and uses up no number, in its trip and after it."""
    await do(env, Put(RecordRef("c", "there"), b"1"))
    reply = await env.trip(
        Batch((Append(S, b"1"),)),
        Batch((Append(S, b"2"), Append(S, b"3")), ABSENT),
        Batch((Append(S, b"4"),)),
    )
    assert [type(outcome) for outcome in reply.results] == [Committed, Refused, Committed]
    assert await do(env, Append(S, b"5")) == (3,)
    assert [event.body for event in (await read(env)).events] == [b"1", b"4", b"5"]


@check("stream.append.all_kinds_or_nothing", area="J", number=116, needs={*STREAMS, Facility.TASKS})
async def all_kinds_or_nothing(env: Env) -> None:
    """Contract: a batch appends, puts and enqueues together, under one version, or does none of it."""
    done = await env.commit(
        Batch((Put(RecordRef("c", "there"), b"1"), Append(S, b"1"), Enqueue(TaskRef("t"), "q", b"1")))
    )
    record, task = await env.record("c", "there"), await env.task("t")
    assert record is not None
    assert [record.version, task.version, (await read(env)).events[0].version] == [done.version] * 3
    await env.refused(Batch((Append(S, b"2"), Enqueue(TaskRef("u"), "q", b"1")), ABSENT))
    assert (await read(env)).last == 1
    assert (await env.driver.read([TaskRef("u")])).results == [None]


@check("stream.append.once_by_commit_id", area="J", number=116, needs=STREAMS)
async def once_by_commit_id(env: Env) -> None:
    """Contract: a batch that is committed again under its commit id appends nothing, and gives the same
    number.
    """
    batch = Batch((Append(S, b"1"), Append(S, b"2")), commit_id="id", fingerprint=b"f")
    first = await env.commit(batch)
    await do(env, Append(S, b"3"))
    assert await env.commit(batch) == first
    assert (await read(env)).last == 3


@check("stream.append.race", area="J", number=113, needs=STREAMS, tier=Tier.RACE)
async def append_race(env: Env) -> None:
    """Contract: with many writers at once numbers have no gap, follow the order of the commits, and whoever
    reads meanwhile never sees a later event before an earlier one.
    """
    stores = await with_peer(env)
    writers, each = 8, 12
    writing = True
    seen: list[EventImage] = []

    async def write(store: Store, n: int) -> list[int]:
        numbers = []
        for turn in range(each):
            async with store.atomic() as unit:
                unit.records.put("c", f"{n}", turn)
                published = unit.events.publish("s", [n, turn])
            numbers.append(published.result)
        return numbers

    async def follow(store: Store) -> None:
        while len(seen) < writers * each:
            last = not writing
            (page,) = (await driver_of(store).stream([StreamRead(S, len(seen) + 1, 100)])).results
            seen.extend(page.events)
            assert seqs(seen) == list(range(1, len(seen) + 1)), "a reader saw a gap"
            assert not last or len(seen) == writers * each, "acknowledged events are not there"
            await asyncio.sleep(0)

    reader = asyncio.ensure_future(follow(stores[-1]))
    numbers = await together(*(write(stores[n % len(stores)], n) for n in range(writers)))
    writing = False
    await reader
    assert all(own == sorted(own) for own in numbers), "a later publish got a lower number"
    assert sorted(seq for own in numbers for seq in own) == list(range(1, writers * each + 1))
    versions = [event.version for event in seen]
    assert versions == sorted(versions), "numbers do not follow the order of the commits"


@check("stream.read.bounds", area="J", number=115, needs=STREAMS)
async def read_bounds(env: Env) -> None:
    """Contract: a read begins with its start, goes up, or down in reverse, to its limit, and says which
    events there are.
    """
    await fill(env, 5)
    reads = {
        (1, 100, False): [1, 2, 3, 4, 5],
        (3, 2, False): [3, 4],
        (5, 1, False): [5],
        (6, 100, False): [],
        (99, 100, False): [],
        (4, 2, True): [4, 3],
        (2, 100, True): [2, 1],
        (99, 3, True): [5, 4, 3],
    }
    reply = await env.driver.stream([StreamRead(S, *each) for each in reads])
    assert [seqs(page.events) for page in reply.results] == list(reads.values())
    assert {(page.first, page.last) for page in reply.results} == {(1, 5)}


@check("stream.read.of_several_streams", area="J", number=115, needs=STREAMS)
async def read_of_several_streams(env: Env) -> None:
    """Contract: one call reads several streams in the order asked, doubles and absent ones too; an absent
    stream is empty, with first 1 and last 0.
    """
    await fill(env, 2)
    await fill(env, 1, ref=T)
    asked = [StreamRead(T, 1, 9), StreamRead(StreamRef("absent"), 1, 9), StreamRead(S, 2, 9)]
    reply = await env.driver.stream([*asked, *asked])
    found = [(seqs(page.events), page.first, page.last) for page in reply.results]
    assert found == [([1], 1, 1), ([], 1, 0), ([2], 1, 2)] * 2
    assert await head(env, StreamRef("absent")) is None


@check("stream.read.one_snapshot", area="J", number=113, needs=STREAMS, tier=Tier.RACE)
async def read_one_snapshot(env: Env) -> None:
    """Contract: the streams of one call are read as of one moment: a batch that appends to two of them is
    seen in both or in neither.
    """
    stores = await with_peer(env)
    done = False

    async def write() -> None:
        nonlocal done
        for n in range(30):
            async with stores[0].atomic() as unit:
                unit.events.publish("s", n)
                unit.events.publish("t", n)
        done = True

    async def look() -> None:
        while not done:
            s, t = (
                await driver_of(stores[-1]).stream([StreamRead(S, 1, 100), StreamRead(T, 1, 100)])
            ).results
            assert s.last == t.last == len(s.events) == len(t.events), "half of a batch was seen"
            await asyncio.sleep(0)

    await together(write(), look())


@check("stream.read.large_pages_end_early", area="J", number=115, needs=STREAMS)
async def large_pages_end_early(env: Env) -> None:
    """Contract: a read that would pass the bound of a reply ends early, after one event at least, and the
    events that follow are there for the next.
    """
    size = REPLY_BYTES // 2 + 1000
    for _ in range(3):
        await do(env, Append(S, bytes(size), raw=True))
    found: list[int] = []
    for _ in range(3):
        page = await read(env, len(found) + 1)
        assert page.last == 3
        found += seqs(page.events)
        assert page.events or len(found) == 3
        assert len(page.events) < 3, "a reply of three halves of the bound"
    assert found == [1, 2, 3]


@check("stream.names_are_literal", area="J", number=127, needs=STREAMS)
async def names_are_literal(env: Env) -> None:
    """Contract: streams are told apart by their exact names, and number their events each on its own."""
    names = ["a", "A", "a ", "a:b", "a%", "a_", "á", "a\N{COMBINING ACUTE ACCENT}", "*"]
    for n, name in enumerate(names):
        assert await env.store.events.publish(name, n) == 1
    for n, name in enumerate(names):
        assert [event.body for event in await env.store.events.read(name)] == [n]


@check("stream.at_peer", area="J", number=113, needs=STREAMS)
async def at_peer(env: Env) -> None:
    """Contract: an independent connection sees an event as soon as it was acknowledged, and goes on with the
    numbers.
    """
    peer = await env.peer()
    for n in range(1, 6):
        assert await env.store.events.publish("s", n) == 2 * n - 1
        assert await peer.events.publish("s", -n) == 2 * n
        assert [event.body for event in await peer.events.read("s", start=2 * n - 1)] == [n, -n]


@check("stream.survives_reopen", area="J", number=114, needs=STREAMS)
async def survives_reopen(env: Env) -> None:
    """Contract: events are there, and their numbers go on, after the Store was reopened."""
    await env.store.events.publish_many("s", [1, 2, 3])
    await env.store.events.trim("s", first=3)
    await env.reopen()
    assert [(event.seq, event.body) for event in await env.store.events.read("s")] == [(3, 3)]
    assert await env.store.events.publish("s", 4) == 4


@check("stream.instants", area="J", number=126, needs=STREAMS)
async def instants(env: Env) -> None:
    """Contract: an event's instant is that of its commit, and never earlier than that of a lower number."""
    expected = []
    for _ in range(5):
        done = await env.commit(Batch((Append(S, b"1"), Append(S, b"2"))))
        expected += [done.at, done.at]
    found = [event.at for event in (await read(env)).events]
    assert found == expected
    assert found == sorted(found)


@check("stream.scan", area="J", number=127, needs=STREAMS)
async def scan(env: Env) -> None:
    """Contract: streams are listed in the order of their names, page by page, and counted; dropped ones
    are not.
    """
    for name in ("b", "a", "d", "c", "B"):
        await do(env, Append(StreamRef(name), b"1"))
    await env.store.events.drop("c")
    first = await env.driver.scan(Scan(kind="stream", limit=2))
    rest = await env.driver.scan(Scan(kind="stream", limit=9, after=first.next))
    found = [cast(StreamImage, image).ref.stream for image in (*first.items, *rest.items)]
    assert (len(first.items), found, rest.next) == (2, ["B", "a", "b", "d"], None)
    back = await env.driver.scan(Scan(kind="stream", reverse=True, start="a", stop="d"))
    assert [cast(StreamImage, image).ref.stream for image in back.items] == ["b", "a"]
    assert (await env.driver.scan(Scan(kind="stream", count=True))).total == 4
