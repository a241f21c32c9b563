"""Consuming and subscribing, on the reference store."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.errors import Indeterminate, InvalidArgument, LeaseLost, Unavailable
from hive_state_core.events import Event
from hive_state_core.spi import Ack

from .clocks import Clock
from .eventful import AT_ONCE, before_commits, bodies, first, some

pytestmark = pytest.mark.prompt


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
