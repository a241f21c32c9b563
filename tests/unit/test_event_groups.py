"""Groups of consumers, on the reference store."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hive_state_core import Store
from hive_state_core.errors import AlreadyExists, InvalidArgument, LeaseLost, NotFound
from hive_state_core.spi import Trimmed

from .clocks import Clock
from .eventful import AT_ONCE, bodies, first, some

pytestmark = pytest.mark.prompt


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
