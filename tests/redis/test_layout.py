"""What lies in the server: what the table of keys has and no more, and Redis's groups as the fence says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from hive_state_conformance.env import Env
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.life import live
from hive_state_core import Store, open_store
from hive_state_core.errors import SchemaMismatch
from hive_state_core.model import GroupRef
from hive_state_core.spi import (
    KINDS,
    Ack,
    Batch,
    ClaimEvents,
    ControlState,
    Nack,
    Retention,
    Scan,
    Span,
)
from hive_state_redis import keys
from hive_state_redis.caller import Caller
from hive_state_redis.driver import HEARD

LINES = [line for line in (keys.__doc__ or "").splitlines() if line.startswith("    ")]
TABLES = {word for line in LINES for word in line.split() if len(word) == 1}


def caller_of(hive: Store) -> Caller:
    return hive._driver._caller  # type: ignore[attr-defined,no-any-return]


async def keys_of(caller: Caller) -> list[bytes]:
    found: list[bytes] = await caller.link.call("KEYS", caller.keys.pattern)
    return [key.removeprefix(caller.keys.prefix) for key in found]


async def test_every_key_is_of_a_table_and_replies_end(url: str) -> None:
    async with open_store(url, janitor=False) as hive:
        await live(Env(UrlHarness(url), hive.namespace, hive))
        caller = caller_of(hive)
        found = await keys_of(caller)
        assert len(found) > 30
        assert {key.partition(b"\0")[0].decode() for key in found} <= TABLES
        replies = [caller.keys.prefix + key for key in found if key.startswith(b"c\0")]
        left = await caller.link.many([("TTL", key) for key in replies])
        assert left
        assert all(0 < seconds <= 24 * 3600 for seconds in left)


async def test_replies_that_were_heard_go(url: str) -> None:
    async with open_store(url, janitor=False) as hive:
        for n in range(3 * HEARD):
            await hive.records.put("c", "k", n)
            await hive.tasks.enqueue("q", n)
            (lease,) = await hive.tasks.claim("q", worker="w", lease=60)
            await hive.tasks.complete(lease)
        kept = [key for key in await keys_of(caller_of(hive)) if key.startswith(b"c\0")]
        assert 0 < len(kept) <= HEARD


@pytest.mark.parametrize(("layout", "mend"), [(2, "export it"), (9, "use the version that wrote it$")])
async def test_a_layout_of_another_version_is_refused(url: str, layout: int, mend: str) -> None:
    async with open_store(url, janitor=False) as hive:
        caller = caller_of(hive)
        head = keys.load_head(await caller.link.call("GET", caller.keys.head))
        await caller.link.call("SET", caller.keys.head, keys.encode(replace(head, schema=layout)))
        with pytest.raises(SchemaMismatch, match=f"has layout {layout}, this version knows 3; .*{mend}"):
            await open_store(url).open()


async def test_dropping_leaves_nothing(url: str) -> None:
    async with open_store(url, janitor=False) as hive, open_store(url, namespace="hive2") as other:
        await live(Env(UrlHarness(url), hive.namespace, hive))
        await hive._driver.schema("drop")
        assert await keys_of(caller_of(hive)) == []
        assert await keys_of(caller_of(other)) != []
        await other._driver.schema("drop")


async def test_what_was_removed_leaves_no_trace(url: str) -> None:
    """But for the control entry and the replies of trips."""
    now = Retention(completed=0, cancelled=0, dead=0, tombstones=0, commits=0)
    async with open_store(url, janitor=False) as hive:
        await hive.records.put("c", "k", 1, index={"field": 1})
        await hive.records.delete("c", "k")
        await hive.tasks.enqueue("q", 1, id="t", dedupe_key="d", requires=["x"])
        await hive.tasks.cancel("t")
        await asyncio.sleep(0.005)
        await hive._driver.sweep(1000, now)
        left = {key.partition(b"\0")[0] for key in await keys_of(caller_of(hive))}
        assert left == {b"h", b"c"}


async def listed(caller: Caller, stream: str) -> list[list[Any]]:
    """Redis's own pending list of the group g: number, consumer, deliveries."""
    native = caller.keys.prefix + b"v\0" + stream.encode()
    found = await caller.link.call("XPENDING", native, "g", "-", "+", 100)
    return [[int(id.partition(b"-")[0]), consumer.decode(), times] for id, consumer, _, times in found]


async def fence_of(hive: Store) -> list[list[Any]]:
    page = await hive._driver.scan(Scan(kind="pending", within="s", group="g"))
    images: Any = page.items
    return [[each.ref.seq, each.consumer, each.deliveries] for each in images]


async def test_the_list_of_redis_follows_the_fence(url: str) -> None:
    """In the store itself, and in one that a copy is loaded into, in whatever order."""
    ref = GroupRef("s", "g")
    async with open_store(url, janitor=False) as hive, open_store(url, namespace="copy") as copy:
        driver: Any = hive._driver
        await hive.events.create_group("s", "g", start="beginning")
        for n in range(5):
            await hive.events.publish("s", n)
        (claimed,) = (await driver.claim([ClaimEvents(ref, "w", 60_000, 4)], "1")).results
        first, second, *_ = [(each.event.seq, each.token) for each in claimed.deliveries]
        await driver.commit([Batch((Ack(ref, (first,)),)), Batch((Nack(ref, (second,), 0),))], "2")
        await driver.claim([ClaimEvents(ref, "v", 60_000, 1)], "3")
        assert await fence_of(hive) == [[2, "v", 2], [3, "w", 1], [4, "w", 1]]
        assert await listed(caller_of(hive), "s") == await fence_of(hive)
        port = copy.replication()
        row = await port.control()
        await port.control(row.epoch, replace(row, state=ControlState.STANDBY))
        for kind in reversed(KINDS):
            for image in reversed(await hive.replication().export(Span(kind=kind))):
                await port.load([image])
        assert await listed(caller_of(copy), "s") == await fence_of(copy) == await fence_of(hive)
        assert await port.digest(Span(kind="event")) == await hive.replication().digest(Span(kind="event"))
