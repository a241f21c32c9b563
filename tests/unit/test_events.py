"""Events, on the reference store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.backoff import Backoff
from hive_state_core.errors import (
    AlreadyExists,
    CorruptData,
    Indeterminate,
    InvalidArgument,
    LeaseLost,
    LimitExceeded,
    NotFound,
    Unavailable,
    Unsupported,
)
from hive_state_core.events import Delivery, Event, Gap
from hive_state_core.features import Facility
from hive_state_core.model import StreamRef
from hive_state_core.spi import Ack, Append, Batch, Trimmed

pytestmark = pytest.mark.prompt

AT_ONCE = Backoff(base=0.0, jitter="none")


class Clock:
    """The store's clock, ahead of the host's by what a test says."""

    def __init__(self, hive: Store) -> None:
        self.ahead = 0
        memory = cast(Any, hive._driver)._memory
        clock = memory.clock
        memory.clock = lambda: clock() + self.ahead


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


# --- publish and read


async def test_publish_and_read(hive: Store) -> None:
    assert await hive.events.publish("s", {"n": 1}) == 1
    assert await hive.events.publish("s", b"\xff\x00") == 2
    one, two = await hive.events.read("s")
    assert (one.stream, one.seq, one.body, two.body) == ("s", 1, {"n": 1}, b"\xff\x00")
    assert one.at.tzinfo is UTC
    assert two.version > one.version
    assert repr(one) == "Event('s', seq=1)"
    one.body["n"] = 2
    assert (await hive.events.read("s"))[0].body == {"n": 1}
    assert await hive.events.read("other") == []


async def test_racing_publishers_leave_no_gap(hive: Store) -> None:
    seqs = await asyncio.gather(*[hive.events.publish("s", n) for n in range(100)])
    assert sorted(seqs) == list(range(1, 101))
    found = await hive.events.read("s", limit=1000)
    assert [seqs[event.body] for event in found] == [event.seq for event in found]


async def test_publish_many_is_contiguous_and_all_or_nothing(hive: Store) -> None:
    runs = await asyncio.gather(*[hive.events.publish_many("s", range(10)) for _ in range(8)])
    assert all(run == list(range(run[0], run[0] + 10)) for run in runs)
    assert await hive.events.publish_many("s", []) == []
    with pytest.raises(InvalidArgument):
        await hive.events.publish_many("s", [1, object()])
    with pytest.raises(LimitExceeded):
        await hive.events.publish_many("s", range(1001))
    assert await hive.events.publish("s", 0) == 81


async def test_read_bounds(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 8))
    read = hive.events.read
    assert bodies(await read("s", start=6)) == [6, 7]
    assert bodies(await read("s", start=3, limit=2)) == [3, 4]
    assert bodies(await read("s", start=3, reverse=True)) == [3, 2, 1]
    assert bodies(await read("s", limit=2, reverse=True)) == [7, 6]
    assert await read("s", start=8) == []
    for wrong in ({"start": 0}, {"limit": 0}, {"limit": 1001}, {"start": True}, {"start": 2**53}):
        with pytest.raises(InvalidArgument):
            await read("s", **cast(Any, wrong))


async def test_what_was_trimmed_is_a_gap(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 8))
    trimmed = await hive.events.trim("s", first=5)
    assert (trimmed.removed, trimmed.dropped, trimmed.first) == (4, 0, 5)
    for reverse in (False, True):
        with pytest.raises(Gap, match="begins at 5") as caught:
            await hive.events.read("s", start=4, reverse=reverse)
        assert isinstance(caught.value, NotFound)
        assert (caught.value.start, caught.value.first) == (4, 5)
    assert bodies(await hive.events.read("s")) == [5, 6, 7]
    assert bodies(await hive.events.read("s", start=5)) == [5, 6, 7]


async def test_names(hive: Store) -> None:
    for wrong in ("", "hive:checkpoint:x", "hive:", "a\0", 5):
        with pytest.raises(InvalidArgument):
            await hive.events.publish(cast(str, wrong), 1)
        with pytest.raises(InvalidArgument):
            hive.events.follow(cast(str, wrong))
    with pytest.raises(InvalidArgument):
        await hive.events.create_group("hive:snapshots", "g")
    for literal in ("%", "_", "a b", "HIVE:", "hive"):
        assert await hive.events.publish(literal, 1) == 1


async def test_a_body_that_cannot_be_decoded(hive: Store) -> None:
    await hive._trips.commit(Batch((Append(StreamRef("s"), b"{"),)))
    await hive.events.publish("s", 2)
    bad, good = await hive.events.read("s")
    assert good.body == 2
    with pytest.raises(CorruptData):
        _ = bad.body


async def test_drop_does_not_use_seqs_again(hive: Store) -> None:
    await some(hive, 3)
    assert await hive.events.drop("s")
    assert not await hive.events.drop("s")
    assert await hive.events.read("s") == []
    with pytest.raises(NotFound):
        await hive.events.claim("s", "g")
    assert await hive.events.publish("s", 4) == 4


async def test_a_store_without_streams_is_told_apart_before_any_call(hive: Store) -> None:
    hive._trips._lacks = frozenset({Facility.STREAMS})
    driver = cast(Any, hive._driver)
    features = replace(hive.features, facilities=frozenset({Facility.TASKS}))
    hive._trips.driver = cast(Any, type("Plain", (), {"features": features}))()
    calls = [
        hive.events.publish("s", 1),
        hive.events.read("s"),
        hive.events.create_group("s", "g"),
        hive.events.claim("s", "g"),
        hive.events.trim("s", keep=1),
        hive.events.lag("s", "g"),
        anext(hive.events.follow("s")),
        anext(hive.events.subscribe("s", group="g")),
        anext(hive.events.consume("s", group="g", create=False)),
        hive.checkpoints.save("c", 1),
        hive.checkpoints.prune("c"),
        anext(cast(Any, hive.checkpoints.names())),
    ]
    for call in calls:
        with pytest.raises(Unsupported):
            await call
    hive._trips.driver = driver


# --- follow


async def test_follow_from_a_seq(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 4))
    found = []
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=2)) as events:
        async for event in events:
            found.append(event.body)
            if len(found) < 20:
                await hive.events.publish("s", len(found) + 3)
            if event.body == 20:
                break
    assert found == list(range(2, 21))


@pytest.mark.parametrize("dropped", [False, True])
async def test_follow_from_now_on_misses_nothing(hive: Store, dropped: bool) -> None:
    await hive.events.publish("s", "old")
    if dropped:
        await hive.events.drop("s")
    stream, looked = hive._trips.stream, asyncio.Event()

    async def look(*args: Any) -> Any:
        page = await stream(*args)
        looked.set()
        return page

    hive._trips.stream = look  # type: ignore[assignment]
    async with asyncio.timeout(20), aclosing(hive.events.follow("s", poll=5)) as events:
        asked = asyncio.ensure_future(anext(events))
        await looked.wait()
        await hive.events.publish_many("s", [1, 2])
        assert ((await asked).body, (await anext(events)).body) == (1, 2)


async def test_follow_without_hints_and_through_trouble(hive: Store) -> None:
    stream, troubles = hive._trips.stream, [Unavailable("a"), Indeterminate("b")]

    async def trouble(*args: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return await stream(*args)

    async def never(topics: Any, timeout_ms: int) -> Any:
        raise Unavailable("no hints today")

    hive._trips.stream = trouble  # type: ignore[assignment]
    hive._trips.wait = never  # type: ignore[method-assign]
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=1, poll=0.01)) as events:
        asked = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        await hive.events.publish("s", 1)
        assert (await asked).body == 1


async def test_wrong_hints_make_no_busy_loop(hive: Store) -> None:
    stream, looks = hive._trips.stream, 0

    async def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await stream(*args)

    async def always(topics: Any, timeout_ms: int) -> Any:
        return topics

    hive._trips.stream = counted  # type: ignore[assignment]
    hive._trips.wait = always  # type: ignore[method-assign]
    async with aclosing(hive.events.follow("s", start=1)) as events:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(events)
    assert looks < 20


async def test_a_follower_that_is_overtaken_is_told(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 4))
    async with asyncio.timeout(5), aclosing(hive.events.follow("s", start=1)) as events:
        for number in (1, 2, 3):
            assert (await anext(events)).body == number
        await hive.events.publish_many("s", range(4, 9))
        await hive.events.trim("s", keep=2)
        with pytest.raises(Gap) as caught:
            await anext(events)
    assert (caught.value.start, caught.value.first) == (4, 7)
    with pytest.raises(Gap):
        await anext(hive.events.follow("s", start=1))


async def test_closing_the_store_ends_the_loops() -> None:
    async def drain(events: AsyncIterator[Any]) -> list[Any]:
        return [event async for event in events]

    async with asyncio.timeout(5):
        async with open_store("memory://") as hive:
            loops = [
                asyncio.create_task(drain(hive.events.follow("s", poll=0.05))),
                asyncio.create_task(drain(hive.events.consume("s", group="a", poll=0.05))),
                asyncio.create_task(drain(hive.events.subscribe("s", group="b", poll=0.05))),
            ]
            await asyncio.sleep(0.02)
        assert await asyncio.gather(*loops) == [[], [], []]


# --- groups


async def test_where_a_group_begins(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 6))
    starts: list[Any] = ["now", "beginning", 4, 99]
    for group, start in enumerate(starts):
        assert await hive.events.create_group("s", str(group), start=start)
        assert not await hive.events.create_group("s", str(group), start="beginning")
    await hive.events.publish("s", 6)
    got = [bodies(await hive.events.claim("s", str(group), limit=10)) for group in range(4)]
    assert got == [[6], [1, 2, 3, 4, 5, 6], [4, 5, 6], [6]]
    for wrong in ("then", 0, True, None):
        with pytest.raises(InvalidArgument):
            await hive.events.create_group("s", "x", start=cast(Any, wrong))
    with pytest.raises(InvalidArgument):
        await hive.events.create_group("s", "x", max_deliveries=0)


async def test_each_event_goes_to_one_consumer_of_each_group(hive: Store) -> None:
    await some(hive, 40, group="a")
    await hive.events.create_group("s", "b", start="beginning")

    async def take(group: str) -> list[int]:
        found = []
        while got := await hive.events.claim("s", group, limit=3):
            found += bodies(got)
            await hive.events.ack(*got)
        return found

    for group in ("a", "b"):
        shares = await asyncio.gather(*[take(group) for _ in range(4)])
        assert sorted(body for share in shares for body in share) == list(range(1, 41))


async def test_a_group_that_is_not_there(hive: Store) -> None:
    await hive.events.publish("s", 1)
    for call in (hive.events.claim("s", "g"), hive.events.seek("s", "g", "now"), hive.events.lag("s", "g")):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await anext(hive.events.subscribe("s", group="g", create=False))
    assert not await hive.events.drop_group("s", "g")


async def test_a_delivery_that_ran_out_comes_again(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 1)
    old = await first(hive, lease=1)
    assert (old.attempt, old.seq, old.event.seq) == (1, 1, 1)
    clock.ahead += 1000
    new = await first(hive, lease=1)
    assert (new.attempt, new.token > old.token) == (2, True)
    for late in (hive.events.ack(old), hive.events.extend(old), hive.events.nack(old, error="e")):
        with pytest.raises(LeaseLost):
            await late
    assert old.lost
    await hive.events.ack(new)
    with pytest.raises(LeaseLost):
        await hive.events.ack(new)
    assert not new.lost


async def test_nack_release_and_death(hive: Store) -> None:
    await some(hive, 1, max_deliveries=2)
    await hive.events.nack(await first(hive), error="e", retry_in=0)
    for _ in range(3):
        again = await first(hive)
        assert again.attempt == 2
        await hive.events.release(again)
    await hive.events.nack(await first(hive), error=ValueError("\0"), retry_in=0)
    assert await hive.events.claim("s", "g") == []
    assert (await hive.stats()).groups["s", "g"].dead == 1
    assert await hive.events.lag("s", "g") == 0


async def test_what_is_dead_is_found_redriven_and_discarded(hive: Store) -> None:
    await some(hive, 3)
    one, two, three = await hive.events.claim("s", "g", consumer="c", limit=3)
    await hive.events.nack(one, two, error="bad", retry_in=None)
    shown = [each async for each in hive.events.pending("s", "g")]
    assert [(each.seq, each.dead, each.error, each.consumer) for each in shown] == [
        (1, True, "bad", "c"),
        (2, True, "bad", "c"),
        (3, False, None, "c"),
    ]
    assert [each.until for each in shown[:2]] == [None, None]
    assert shown[2].until is not None
    assert [each.seq async for each in hive.events.pending("s", "g", dead=False)] == [3]
    with pytest.raises(NotFound, match="event 3 of stream 's', handed to group 'g', is not dead"):
        await hive.events.redrive("s", "g", 1, 3)
    await hive.events.redrive("s", "g", 1)
    await hive.events.discard("s", "g", 2)
    assert [each.seq async for each in hive.events.pending("s", "g", dead=True)] == []
    again = await first(hive)
    assert (again.seq, again.attempt) == (1, 1)
    await hive.events.ack(again, three)
    assert [each async for each in hive.events.pending("s", "g")] == []


async def test_pending_of_what_is_not_there(hive: Store) -> None:
    with pytest.raises(NotFound, match="group 'g' of stream 's' does not exist"):
        await anext(hive.events.pending("s", "g"))
    with pytest.raises(NotFound, match="is not dead"):
        await hive.events.discard("s", "g", 1)
    with pytest.raises(InvalidArgument, match="at least one event"):
        await hive.events.redrive("s", "g")


async def test_nack_waits_for_the_back_off(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 1)
    await hive.events.nack(await first(hive), error="e", retry_in=2)
    assert await hive.events.claim("s", "g") == []
    clock.ahead += 2000
    await hive.events.nack(await first(hive), error="e", retry_in=None)
    clock.ahead += 10**9
    assert await hive.events.claim("s", "g") == []


async def test_several_at_once_are_one_unit(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 4)
    stale = await first(hive, lease=1)
    clock.ahead += 1000
    got = await hive.events.claim("s", "g", limit=4)
    with pytest.raises(LeaseLost):
        await hive.events.ack(got[1], stale)
    await hive.events.ack(*got)
    assert all(each.ended for each in got)
    with pytest.raises(InvalidArgument):
        await hive.events.ack()
    await some(hive, 1, group="h", start="beginning")
    other = await hive.events.claim("s", "h")
    with pytest.raises(InvalidArgument):
        await hive.events.ack(*got, *other)


async def test_seek_and_lag(hive: Store) -> None:
    await some(hive, 5)
    assert await hive.events.lag("s", "g") == 5
    out = await first(hive)
    assert await hive.events.lag("s", "g") == 4
    await hive.events.seek("s", "g", 4)
    with pytest.raises(LeaseLost):
        await hive.events.ack(out)
    assert bodies(await hive.events.claim("s", "g", limit=9)) == [4, 5]
    await hive.events.seek("s", "g", "beginning")
    await hive.events.trim("s", keep=2, force=True)
    assert await hive.events.lag("s", "g") == 2
    await hive.events.seek("s", "g", "now")
    assert await hive.events.claim("s", "g") == []


async def test_trim_keeps_what_is_not_finished(hive: Store) -> None:
    await some(hive, 6)
    one, two = await hive.events.claim("s", "g", limit=2)
    await hive.events.ack(one)
    trimmed = await hive.events.trim("s", keep=0)
    assert (trimmed.removed, trimmed.dropped, trimmed.first) == (1, 0, 2)
    forced = await hive.events.trim("s", keep=1, force=True)
    assert (forced.removed, forced.dropped, forced.first) == (4, 4, 6)
    with pytest.raises(LeaseLost):
        await hive.events.ack(two)
    for wrong in ({}, {"keep": 1, "first": 1}, {"keep": -1}, {"first": 0}):
        with pytest.raises(InvalidArgument):
            await hive.events.trim("s", **cast(Any, wrong))
    assert (await hive.events.trim("none", keep=0)).removed == 0


async def test_trim_goes_on_where_a_driver_stops_early(hive: Store) -> None:
    for _ in range(3):
        await hive.events.publish_many("s", range(1000))
    assert (await hive.events.trim("s", keep=1)).removed == 2999


# --- consume


async def test_consume_acks_after_the_block(hive: Store) -> None:
    await some(hive, 3)
    found = []
    async with asyncio.timeout(5), aclosing(hive.events.consume("s", group="g", poll=0.01)) as deliveries:
        async for delivery in deliveries:
            async with delivery:
                found.append(delivery.body)
            if len(found) == 3:
                break
    assert found == [1, 2, 3]
    assert (await hive.stats()).groups["s", "g"].pending == 0


async def test_consume_nacks_a_failure_until_it_is_dead(hive: Store) -> None:
    await some(hive, 2, max_deliveries=3)
    attempts: list[tuple[int, int]] = []
    consumed = hive.events.consume("s", group="g", backoff=AT_ONCE, poll=0.01)
    async with asyncio.timeout(5), aclosing(consumed) as deliveries:
        async for delivery in deliveries:
            attempts.append((delivery.body, delivery.attempt))
            try:
                async with delivery:
                    if delivery.body == 1:
                        raise ValueError("poison")
            except ValueError:
                continue
            if len(attempts) == 4:
                break
            await hive.events.publish("s", 3)
    assert sorted(attempts)[:3] == [(1, 1), (1, 2), (1, 3)]
    stats = (await hive.stats()).groups["s", "g"]
    assert stats.dead == 1


async def test_a_block_that_was_never_entered_gives_the_event_back(hive: Store) -> None:
    await some(hive, 1)
    async with aclosing(hive.events.consume("s", group="g")) as deliveries:
        await anext(deliveries)
    assert (await first(hive)).attempt == 1


async def test_a_cancelled_block_gives_the_event_back(hive: Store) -> None:
    await some(hive, 1)

    async def run() -> None:
        async with await first(hive):
            task.cancel()
            await asyncio.sleep(5)

    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await first(hive)).attempt == 1


async def test_a_block_that_cancels_itself_failed(hive: Store) -> None:
    await some(hive, 1)
    delivery = await first(hive)
    delivery._backoff = AT_ONCE
    with pytest.raises(asyncio.CancelledError):
        async with delivery:
            raise asyncio.CancelledError
    assert (await first(hive)).attempt == 2


async def test_it_is_kept_alive_within_the_block(hive: Store) -> None:
    await some(hive, 1)
    async with await first(hive, lease=0.06):
        await asyncio.sleep(0.2)
        assert await hive.events.claim("s", "g") == []


async def test_a_lost_delivery_cancels_its_block(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 1)
    delivery = await first(hive, lease=0.06)
    clock.ahead += 60
    other = await first(hive)
    with pytest.raises(LeaseLost):
        async with delivery:
            await asyncio.sleep(5)
    assert delivery.lost
    await hive.events.ack(other)


async def test_an_ack_waits_for_a_busy_store(hive: Store) -> None:
    await some(hive, 1)
    troubles = [Unavailable("a"), Unavailable("b")]

    def trouble(op: Any) -> None:
        if isinstance(op, Ack) and troubles:
            raise troubles.pop()

    before_commits(hive, trouble)
    async with await first(hive, lease=1) as delivery:
        pass
    assert delivery.ended
    await hive.events.publish("s", 2)

    def broken(op: Any) -> None:
        if isinstance(op, Ack):
            raise Indeterminate("cut")

    before_commits(hive, broken)
    with pytest.raises(Indeterminate):
        async with await first(hive, lease=1):
            pass


async def test_a_delivery_is_used_once(hive: Store) -> None:
    await some(hive, 1)
    delivery = await first(hive)
    assert repr(delivery) == "Delivery(Event('s', seq=1), group='g', attempt=1)"
    async with delivery:
        await hive.events.ack(delivery)
    with pytest.raises(InvalidArgument):
        async with delivery:
            raise AssertionError


async def test_cancelling_a_consumer_at_any_step_loses_nothing(hive: Store) -> None:
    await some(hive, 1)
    for steps in range(40):
        deliveries = hive.events.consume("s", group="g")
        task = asyncio.ensure_future(anext(deliveries))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await deliveries.aclose()
        async with asyncio.timeout(5):
            while not (got := await hive.events.claim("s", "g")):
                await asyncio.sleep(0)
        assert got[0].attempt == 1
        await hive.events.release(*got)


# --- subscribe


async def test_subscribe_acks_when_the_next_is_asked_for(hive: Store) -> None:
    await some(hive, 3)
    async with asyncio.timeout(5), aclosing(hive.events.subscribe("s", group="g", poll=5)) as events:
        for number in (1, 2, 3):
            assert (await anext(events)).body == number
            assert (await hive.stats()).groups["s", "g"].pending == 1
        asked = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.02)
        assert (await hive.stats()).groups["s", "g"].pending == 0
        await hive.events.publish("s", 4)
        assert (await asked).body == 4


async def test_subscribe_makes_the_group_as_it_is_told(hive: Store) -> None:
    await hive.events.publish_many("s", range(1, 4))
    events = hive.events.subscribe("s", group="g", start=2, max_deliveries=1, backoff=AT_ONCE)
    assert (await anext(events)).body == 2
    await events.aclose()
    async with aclosing(hive.events.subscribe("s", group="g", start="beginning")) as again:
        assert (await anext(again)).body == 3  # 2 is dead: it was delivered once, and not finished


async def test_stopping_at_an_event_counts_and_prefetched_ones_do_not(hive: Store) -> None:
    await some(hive, 5)
    subscribed = hive.events.subscribe("s", group="g", prefetch=4, backoff=AT_ONCE)
    async with aclosing(subscribed) as events:
        async for event in events:
            if event.body == 2:
                break
    again = await hive.events.claim("s", "g", limit=9)
    assert [(each.body, each.attempt) for each in again] == [(2, 2), (3, 1), (4, 1), (5, 1)]


async def test_a_poisoned_subscription_comes_to_an_end(hive: Store) -> None:
    await some(hive, 2, max_deliveries=3)
    seen: list[int] = []

    async def run() -> None:
        subscribed = hive.events.subscribe("s", group="g", backoff=AT_ONCE, poll=0.01)
        async with asyncio.timeout(5), aclosing(subscribed) as events:
            async for event in events:
                seen.append(event.body)
                raise ValueError("poison")

    for _ in range(4):
        with pytest.raises(ValueError, match="poison"):
            await run()
    assert seen == [1, 1, 1, 2]


async def test_a_slow_subscriber_is_told(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 2)
    events = hive.events.subscribe("s", group="g", lease=1)
    assert (await anext(events)).body == 1
    clock.ahead += 1000
    other = await first(hive)
    with pytest.raises(LeaseLost):
        await anext(events)
    await hive.events.ack(other)


async def test_a_late_ack_that_nobody_overtook_is_taken(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 2)
    async with aclosing(hive.events.subscribe("s", group="g", lease=1)) as events:
        assert (await anext(events)).body == 1
        clock.ahead += 5000
        assert (await anext(events)).body == 2


async def test_prefetched_leases_are_extended_before_they_are_given_out(hive: Store) -> None:
    await some(hive, 3)
    async with aclosing(hive.events.subscribe("s", group="g", lease=0.08, prefetch=3)) as events:
        found: list[Event] = []
        for _ in range(3):
            found.append(await anext(events))
            await asyncio.sleep(0.05)
        assert bodies(found) == [1, 2, 3]


async def test_a_prefetched_one_that_was_lost_is_passed_over(hive: Store) -> None:
    clock = Clock(hive)
    await some(hive, 4)
    subscribed = hive.events.subscribe("s", group="g", lease=0.4, prefetch=3)
    async with asyncio.timeout(5), aclosing(subscribed) as events:
        assert (await anext(events)).body == 1
        await asyncio.sleep(0.25)
        assert (await anext(events)).body == 2  # extended just now; 3 is not
        clock.ahead += 200
        assert (await first(hive)).body == 3
        assert (await anext(events)).body == 4


async def test_many_subscribers_share_a_stream(hive: Store) -> None:
    await hive.events.create_group("s", "g")
    seen: list[int] = []

    async def run(consumer: int) -> None:
        events = hive.events.subscribe("s", group="g", consumer=f"c{consumer}", poll=0.02)
        while True:
            seen.append((await anext(events)).body)

    tasks = [asyncio.create_task(run(n)) for n in range(5)]
    await hive.events.publish_many("s", range(50))
    async with asyncio.timeout(5):
        while len(seen) < 50 or (await hive.stats()).groups["s", "g"].pending:
            await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert sorted(seen) == list(range(50))


# --- in a unit


async def test_a_unit_publishes_and_acks_at_once(hive: Store) -> None:
    await some(hive, 2)
    async with await first(hive) as delivery:
        async with hive.atomic() as unit:
            unit.events.ack(delivery)
            published = [unit.events.publish("out", n) for n in range(3)]
            unit.records.put("c", "k", 1)
    assert delivery.ended
    assert [each.result for each in published] == [1, 2, 3]
    stale = await first(hive)
    await hive.events.release(stale)
    unit = hive.atomic()
    unit.events.publish("out", 4)
    unit.events.ack(stale)
    with pytest.raises(LeaseLost):
        await unit.commit()
    assert len(await hive.events.read("out")) == 3


async def test_a_unit_nacks(hive: Store) -> None:
    await some(hive, 1)
    async with await first(hive) as delivery:
        async with hive.atomic(commit_id="c") as unit:
            unit.events.nack(delivery, error="e", retry_in=0)
    assert (await first(hive)).attempt == 2


async def test_a_refused_unit_leaves_the_delivery_to_its_block(hive: Store) -> None:
    await some(hive, 1)
    delivery = await first(hive)
    delivery._backoff = AT_ONCE
    await hive.records.put("c", "k", 1)
    unit = hive.atomic()
    unit.events.ack(delivery)
    unit.records.put("c", "k", 2, if_absent=True)
    with pytest.raises(AlreadyExists):
        async with delivery:
            await unit.commit()
    assert (await first(hive)).attempt == 2


async def test_a_dry_run_says_what_a_trim_would_do(hive: Store) -> None:
    await hive.events.publish_many("s", range(10))
    assert await hive.events.trim("s", keep=4, dry_run=True) == Trimmed(6, 0, 7)
    for group in ("slow", "slower"):
        await hive.events.create_group("s", group, start="beginning")
    first, second, third = await hive.events.claim("s", "slow", limit=3)
    await hive.events.ack(first, third)
    await hive.events.claim("s", "slower", limit=5)
    for force, told in ((False, Trimmed(0, 0, 1)), (True, Trimmed(6, 6, 7))):
        assert await hive.events.trim("s", keep=4, force=force, dry_run=True) == told
    await hive.events.drop_group("s", "slower")
    told = await hive.events.trim("s", first=7, dry_run=True)
    assert told == Trimmed(1, 0, 2)
    forced = await hive.events.trim("s", first=7, force=True, dry_run=True)
    assert forced == Trimmed(6, 4, 7)
    assert second.seq == 2
    assert len(await hive.events.read("s")) == 10
    assert await hive.events.trim("s", first=7) == told
    assert (await hive.events.trim("s", first=7, force=True)).dropped == forced.dropped
    assert await hive.events.trim("nothing", keep=1, dry_run=True) == Trimmed(0, 0, 1)
