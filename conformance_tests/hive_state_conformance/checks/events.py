"""Area J, continued: streams and groups as their users see them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_conformance.stream_tools import S, counts
from hive_state_core.backoff import Backoff
from hive_state_core.errors import InvalidArgument, LeaseLost, NotFound
from hive_state_core.features import Facility
from hive_state_core.store import Store

STREAMS = {Facility.STREAMS}
AT_ONCE = Backoff(base=0.0, jitter="none")


async def first_of(store: Store, count: int, group: str, **options: object) -> list[int]:
    """The bodies of so many events, as a subscriber gets them."""
    found: list[int] = []
    async with aclosing(store.events.subscribe("s", group=group, **options)) as events:  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE):
            async for event in events:
                found.append(event.body)
                if len(found) == count:
                    break
    return found


@check("events.publish_many.side_by_side", area="J", number=116, needs=STREAMS, tier=Tier.RACE)
async def side_by_side(env: Env) -> None:
    """Contract: the events of publish_many stand side by side, whoever publishes meanwhile, or none of them
    is there.
    """
    stores = await with_peer(env)
    made = await together(
        *(stores[n % len(stores)].events.publish_many("s", [[n, k] for k in range(7)]) for n in range(12))
    )
    assert all(own == list(range(own[0], own[0] + 7)) for own in made)
    found = await env.store.events.read("s")
    assert [event.body for event in found[::7]] == [[event.body[0], 0] for event in found[::7]]
    await raises(InvalidArgument, env.store.events.publish_many("s", [1, float("nan")]))
    assert len(await env.store.events.read("s")) == 84


@check("events.follow.misses_nothing", area="J", number=124, needs=STREAMS, tier=Tier.RACE)
async def follow_misses_nothing(env: Env) -> None:
    """Contract: whoever follows a stream from a number on gets every event once and in order, those published
    meanwhile by others too.
    """
    stores = await with_peer(env)
    await stores[0].events.publish_many("s", [1, 2, 3])

    async def follow(store: Store, start: int) -> list[int]:
        seen: list[int] = []
        async with aclosing(store.events.follow("s", start=start, poll=0.02)) as events:
            async with asyncio.timeout(PATIENCE):
                async for event in events:
                    seen.append(event.seq)
                    if event.seq == 43:
                        break
        return seen

    async def publish(store: Store) -> list[int]:
        return [await store.events.publish("s", n) for n in range(20)]

    found = await together(
        follow(stores[0], 1), follow(stores[-1], 3), *(publish(store) for store in (stores * 2)[:2])
    )
    assert (found[0], found[1]) == (list(range(1, 44)), list(range(3, 44)))


@check("events.group.misses_nothing", area="J", number=124, needs=STREAMS, tier=Tier.RACE)
async def group_misses_nothing(env: Env) -> None:
    """Contract: what is published after a group was made reaches it, whoever publishes while its consumers
    begin; and so does what comes after the group's start.
    """
    stores = await with_peer(env)
    await stores[0].events.publish_many("s", range(3))
    await stores[0].events.create_group("s", "late")
    await stores[0].events.create_group("s", "all", start="beginning")

    async def publish(store: Store) -> None:
        for n in range(3, 23):
            await store.events.publish("s", n)

    late, everything, _ = await together(
        first_of(stores[-1], 20, "late", create=False, poll=0.02),
        first_of(stores[0], 23, "all", create=False, poll=0.02),
        publish(stores[-1]),
    )
    assert (late, everything) == (list(range(3, 23)), list(range(23)))


@check("events.subscribe.acks", area="J", number=117, needs=STREAMS)
async def subscribe_acks(env: Env) -> None:
    """Contract: a subscriber's event is acked when it asks for the next; those it fetched in advance and did
    not get to are given back unharmed.
    """
    events = env.store.events
    await events.publish_many("s", [1, 2, 3, 4, 5])
    options = {"start": "beginning", "prefetch": 3, "backoff": AT_ONCE}
    assert await first_of(env.store, 2, "g", **options) == [1, 2]
    found = [(each.seq, each.attempt, each.dead) async for each in events.pending("s", "g")]
    assert found == [(2, 1, False), (3, 0, False)]
    again = await events.claim("s", "g", limit=9)
    assert [(each.seq, each.attempt) for each in again] == [(2, 2), (3, 1), (4, 1), (5, 1)]


@check("events.consume.ends", area="J", number=123, needs=STREAMS)
async def consume_ends(env: Env) -> None:
    """Contract: a delivery is acked at the end of its block; a block that fails gets the event again until
    its deliveries are used up, and others go on.
    """
    events = env.store.events
    await events.create_group("s", "g", max_deliveries=3)
    await events.publish_many("s", ["good", "bad", "good too"])
    seen: list[str] = []
    async with aclosing(events.consume("s", group="g", backoff=AT_ONCE, poll=0.02)) as given:
        async with asyncio.timeout(PATIENCE):
            async for delivery in given:
                try:
                    async with delivery:
                        seen.append(delivery.body)
                        if delivery.body == "bad":
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
                if seen.count("bad") == 3 and "good too" in seen:
                    break
    assert sorted(seen) == ["bad", "bad", "bad", "good", "good too"]
    assert await counts(env) == (3, 0, 1)


@check("events.dead.redriven_and_discarded", area="J", number=123, needs=STREAMS)
async def redriven_and_discarded(env: Env) -> None:
    """Contract: what is dead in a group is listed with its error, and is handed out anew or discarded by its
    number; what is not dead is a NotFound.
    """
    events = env.store.events
    await events.create_group("s", "g")
    await events.publish_many("s", ["a", "b", "c"])
    a, b, c = await events.claim("s", "g", limit=3)
    await events.nack(a, b, error=ValueError("unfit"), retry_in=None)
    dead = [each async for each in events.pending("s", "g", dead=True)]
    assert [(each.seq, each.attempt, each.dead, each.until) for each in dead] == [
        (1, 1, True, None),
        (2, 1, True, None),
    ]
    assert all("unfit" in (each.error or "") for each in dead)
    await raises(NotFound, events.redrive("s", "g", 1, 3))
    await raises(NotFound, events.discard("s", "g", 3))
    await events.discard("s", "g", 1)
    await events.redrive("s", "g", 2)
    (again,) = await events.claim("s", "g", limit=3)
    assert (again.seq, again.attempt, again.body) == (2, 1, "b")
    await events.ack(again, c)
    assert [each async for each in events.pending("s", "g")] == []


@check("events.unit.publishes_and_acks", area="J", number=119, needs=STREAMS)
async def publishes_and_acks(env: Env) -> None:
    """Contract: a unit that acks a stale delivery raises LeaseLost and publishes nothing; with a current one
    it does both.
    """
    events = env.store.events
    await events.create_group("s", "g")
    await events.publish("s", 1)
    (old,) = await events.claim("s", "g", lease=0.02)
    (image,) = [each async for each in events.pending("s", "g")]
    assert image.until is not None
    await env.until(int(image.until.timestamp() * 1000))
    (new,) = await events.claim("s", "g")

    async def finish(delivery: object) -> None:
        async with env.store.atomic() as unit:
            unit.events.publish("done", 1)
            unit.records.put("c", "k", 1)
            unit.events.ack(delivery)  # type: ignore[arg-type]

    await raises(LeaseLost, finish(old))
    assert await env.store.records.get("c", "k") is None
    await finish(new)
    assert [event.seq for event in await events.read("done")] == [1]
    assert await counts(env) == (1, 0, 0)


@check("events.slow_group", area="J", number=125, needs=STREAMS)
async def slow_group(env: Env) -> None:
    """Contract: a group whose consumer is slow keeps no other from going on, and lag says how far each is
    behind.
    """
    events = env.store.events
    for name in ("slow", "fast"):
        await events.create_group("s", name)
    await events.publish_many("s", range(6))
    (held,) = await events.claim("s", "slow")
    for _ in range(2):
        await events.ack(*await events.claim("s", "fast", limit=3))
    assert (await events.lag("s", "slow"), await events.lag("s", "fast")) == (5, 0)
    await events.publish("s", 6)
    assert (await events.lag("s", "slow"), await events.lag("s", "fast")) == (6, 1)
    await events.trim("s", first=4, force=True)
    assert await events.lag("s", "slow") == 4
    await raises(LeaseLost, events.ack(held))
    await raises(NotFound, events.lag("s", "nobody"))


@check("events.unfit_arguments_refused", area="J", number=127, needs=STREAMS)
async def unfit_arguments_refused(env: Env) -> None:
    """Contract: streams, groups, numbers and leases that are none are an InvalidArgument, and nothing is
    written.
    """
    events = env.store.events
    await raises(InvalidArgument, events.publish("", 1))
    await raises(InvalidArgument, events.publish("hive:own", 1))
    await raises(InvalidArgument, events.publish("s\0", 1))
    await raises(InvalidArgument, events.publish("s", {1, 2}))
    await raises(InvalidArgument, events.create_group("s", ""))
    await raises(InvalidArgument, events.create_group("s", "g", max_deliveries=0))
    await raises(InvalidArgument, events.create_group("s", "g", start=0))
    await raises(InvalidArgument, events.claim("s", "g", lease=0))
    await raises(InvalidArgument, events.claim("s", "g", limit=0))
    await raises(InvalidArgument, events.read("s", limit=0))
    await raises(InvalidArgument, events.trim("s"))
    await raises(InvalidArgument, events.ack())
    assert (await env.driver.read([S])).results == [None]
    assert (await env.store.stats()).groups == {}
