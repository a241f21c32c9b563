"""Collections and streams that live in the fast store alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.runner import conform
from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice
from hive_state_core.embedded import valkey_server
from hive_state_core.errors import (
    ConfigError,
    Conflict,
    Indeterminate,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from hive_state_core.events import Gap
from hive_state_core.following import current
from hive_state_core.model import RecordRef, StreamImage, StreamRef
from hive_state_core.spi import Batch, Committed, Outcome, Page, Put, Reply, Scan
from hive_state_hybrid.listing import with_heads
from hive_state_hybrid.parted import PartedDriver

from .conftest import Hybrid
from .test_conformance import failed, faults

NAMES = "presence,logs,hive:sessions"


@pytest.fixture
def durable(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL"


@pytest.fixture
def choice(durable: str, hybrid: Hybrid) -> Choice:
    return hybrid(durable, f"memory://{uuid4().hex}", ephemeral=NAMES)


def opened(choice: Choice) -> Store:
    return open_store(choice, janitor=False)


async def test_they_are_in_the_fast_store_and_nowhere_else(choice: Choice, durable: str) -> None:
    async with opened(choice) as hive, opened(choice) as peer, open_store(durable, janitor=False) as below:
        await hive.records.put("presence", "a", 1)
        await hive.records.put("durable", "a", 2)
        await hive.events.publish("logs", {"n": 1})
        await hive.events.publish("audit", {"n": 1})
        await hive.sessions.set("s", 1, ttl=60)
        for store in (hive, peer):
            assert [(await store.records.get(name, "a")).value for name in ("presence", "durable")] == [1, 2]  # type: ignore[union-attr]
            assert [record.key async for record in store.records.list("presence")] == ["a"]
            assert [event.seq for event in await store.events.read("logs")] == [1]
            assert (await store.sessions.get("s")) is not None
        assert await below.records.get("presence", "a") is None
        assert await below.sessions.get("s") is None
        assert await below.events.read("logs") == []
        stats = await hive.stats()
        assert (stats.records["presence"], stats.records["durable"]) == (1, 1)
        assert (stats.streams["logs"], stats.streams["audit"]) == (1, 1)


async def test_what_is_mixed_is_refused_and_nothing_of_it_is_done(choice: Choice) -> None:
    async with opened(choice) as hive:
        unit = hive.atomic()
        unit.records.put("presence", "a", 1)
        unit.tasks.enqueue("q", 1)
        with pytest.raises(InvalidArgument, match="'presence' is ephemeral"):
            await unit.commit()
        assert await hive.records.get("presence", "a") is None
        async with hive.atomic() as unit:
            unit.records.put("presence", "a", 1)
            unit.events.publish("logs", 1)
        with pytest.raises(Conflict):
            await hive.records.put("presence", "a", 2, if_absent=True)


async def test_many_callers_of_both(choice: Choice) -> None:
    async with opened(choice) as hive:
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(hive.records.put("presence" if n % 2 else "durable", f"{n}", n))
                group.create_task(hive.events.publish("logs" if n % 2 else "audit", n))
        assert await hive.records.count("presence") == await hive.records.count("durable") == 25
        assert (await hive.sweep()).more is False
        assert sorted(await hive._last_events(None)) == ["audit", "logs"]


async def test_groups_and_waiting(choice: Choice) -> None:
    async with opened(choice) as hive, opened(choice) as peer:
        await hive.events.create_group("logs", "g")
        async with asyncio.timeout(10), aclosing(hive.events.subscribe("logs", group="g", poll=5)) as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.1)
            await peer.events.publish("logs", "hello")
            assert (await waiting).body == "hello"


async def test_the_knobs(durable: str, hybrid: Hybrid) -> None:
    fast = f"memory://{uuid4().hex}"
    async with opened(hybrid(durable, fast, ephemeral=NAMES, default_ttl=60, stream_maxlen=20)) as hive:
        await hive.records.put("presence", "a", 1)
        await hive.records.put("durable", "a", 1)
        await hive.records.put("presence", "b", 1, ttl=1)
        found = dict(zip("ab", await hive.records.get_many("presence", ["a", "b"]), strict=True))
        durable_one = await hive.records.get("durable", "a")
        assert durable_one is not None
        assert durable_one.expires_at is None
        for key, seconds in (("a", 60), ("b", 1)):
            record = found[key]
            assert record is not None
            assert record.expires_at is not None
            assert (record.expires_at - record.updated_at).total_seconds() == seconds
        await hive.events.publish_many("logs", list(range(100)))
        await hive.events.publish_many("audit", list(range(100)))
        assert [event.seq for event in await hive.events.read("logs", limit=50)] == list(range(81, 101))
        assert len(await hive.events.read("audit", limit=100)) == 100


async def test_a_core_that_does_not_know_may_mix_trips(choice: Choice) -> None:
    """As of a process that began at another store, from which the hive has moved here."""
    async with opened(choice) as hive:
        hive._trips._ephemeral = None
        puts = [hive.records.put(name, "a", name) for name in ("presence", "durable", "other")]
        await asyncio.gather(*puts)
        both = hive.atomic()
        both.records.put("presence", "x", 1)
        both.records.put("durable", "x", 1)
        answers = await asyncio.gather(
            hive.records.put("durable", "y", 1),
            both.commit(),
            hive.records.put("other", "y", 1),
            return_exceptions=True,
        )
        assert [isinstance(answer, InvalidArgument) for answer in answers] == [False, True, False]
        reads = [hive.records.get(name, "a", fresh=True) for name in ("presence", "durable", "none", "other")]
        values = [None if each is None else each.value for each in await asyncio.gather(*reads)]
        assert values == ["presence", "durable", None, "other"]


async def test_a_restart_forgets_them_and_work_goes_on(durable: str, valkey: Any, hybrid: Hybrid) -> None:
    async with opened(hybrid(durable, valkey.url, ephemeral=NAMES)) as hive:
        await hive.records.put("presence", "a", 1)
        await hive.records.put("durable", "a", 1)
        await hive.events.publish_many("logs", ["one", "two"])
        await hive.events.create_group("logs", "g")
        async with aclosing(hive.events.follow("logs", start=1)) as events:
            assert [(await anext(events)).seq for _ in range(2)] == [1, 2]
            await asyncio.to_thread(valkey.kill)
            with pytest.raises(Unavailable):
                await hive.records.put("presence", "b", 1)
            await hive.records.put("durable", "b", 1)  # goes on
            await hive.sweep()
            assert await hive._last_events(None) == {}
            health = await hive.health()
            assert any("presence" in each for each in health.warnings)
            await asyncio.to_thread(valkey.start)
            assert await hive.records.get("presence", "a") is None
            await hive.records.put("presence", "a", 2)
            await hive.events.publish("logs", "anew")
            with pytest.raises(Gap, match="began anew"):
                await anext(events)
        with pytest.raises(NotFound, match="group 'g'"):
            await hive.events.claim("logs", "g", consumer="c")
        assert {record.key async for record in hive.records.list("durable")} == {"a", "b"}


async def test_a_fast_store_that_is_not_there_at_first(durable: str, valkey: Any, hybrid: Hybrid) -> None:
    await asyncio.to_thread(valkey.kill)
    async with opened(hybrid(durable, valkey.url, ephemeral=NAMES)) as hive:
        with pytest.raises(Unavailable):
            await hive.records.get("presence", "a")
        assert {each.name: each.status for each in await hive.examine()}["ephemeral"] == "warn"
        await asyncio.to_thread(valkey.start)
        assert "ephemeral durability" in {each.name for each in await hive.examine()}
        async with asyncio.timeout(10):
            while not await is_written(hive):
                await asyncio.sleep(0.05)


async def is_written(hive: Store) -> bool:
    try:
        await hive.records.put("presence", "a", 1)
    except Unavailable:
        return False
    return True


async def test_a_cache_makes_room_for_them(durable: str, hybrid: Hybrid) -> None:
    """As the page for operators says: by volatile-lru only what has a TTL is evicted."""
    settings = {"maxmemory": "6mb", "maxmemory-policy": "volatile-lru"}
    with valkey_server(fsync="never written", settings=settings) as server:
        with pytest.raises(ConfigError, match="allow_eviction"):
            await opened(hybrid(durable, server.url, ephemeral=NAMES)).open()
        choice = hybrid(durable, f"{server.url}?allow_eviction=true", ephemeral=NAMES, near_size=0)
        async with opened(choice) as hive:
            for n in range(100):
                await hive.records.put("presence", f"{n}", n)
                await hive.records.put("durable", f"{n}", "x" * 100_000)
            async with asyncio.timeout(20):
                while not await more_than_half_full(hive):
                    await asyncio.gather(*(hive.records.get("durable", f"{n}") for n in range(100)))
            assert await hive.records.count("presence") == 100
            assert all([await hive.records.get("presence", f"{n}") is not None for n in range(100)])


async def more_than_half_full(hive: Store) -> bool:
    cache = (await hive.stats()).memory.get("fast")  # a busy server may not answer in time
    return cache is not None and cache.most is not None and cache.used > 0.5 * cache.most


async def test_a_trip_of_unknown_end_is_asked_of_the_fast_store(
    durable: str, valkey_url: str, hybrid: Hybrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(hybrid(durable, valkey_url, ephemeral=NAMES)) as hive:
        driver = cast(PartedDriver, current(hive._driver))
        fast = driver._ephemeral.driver
        commit = fast.commit

        async def unheard(batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
            await commit(batches, trip_id)
            raise Indeterminate("the connection broke, by the test")

        monkeypatch.setattr(fast, "commit", unheard)
        put = Batch((Put(RecordRef("presence", "unknown-end"), b"1"),))
        with pytest.raises(Indeterminate):
            await driver.commit([put], "of-unknown-end")
        reply = await driver.outcome("of-unknown-end")
        assert reply is not None
        (committed,) = reply.results
        assert isinstance(committed, Committed)
        record = await hive.records.get("presence", "unknown-end")
        assert record is not None
        assert record.version == committed.version


async def test_a_fast_store_that_says_nothing_holds_nobody_up(
    durable: str, hybrid: Hybrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_state_hybrid.ephemeral.OPEN_S", 0.2)
    with socket.socket() as mute:  # it takes connections, and never answers
        mute.bind(("127.0.0.1", 0))
        mute.listen(100)
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        async with opened(hybrid(durable, url, ephemeral=NAMES)) as hive:
            gets = [hive.records.get("presence", f"{n}") for n in range(3)]
            claims = [hive.events.claim("logs", f"{n}", consumer="c") for n in range(3)]
            async with asyncio.timeout(5):  # one after the other would take a second each, and more
                answers = await asyncio.gather(*gets, *claims, return_exceptions=True)
            assert all(isinstance(answer, Unavailable) for answer in answers)
            await hive.records.put("durable", "a", 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ephemeral": "a,,b"}, "names, as a list"),
        ({"ephemeral": "hive:agents"}, "belongs to hive-state"),
        ({"default_ttl": 5}, "nothing is"),
        ({"stream_maxlen": 5}, "nothing is"),
        ({"cache_hit_ratio_target": 95}, "a number from 0 to 1"),
        ({"agent_cache_ttl": 60}, "did you mean cache_ttl"),
        ({"task_cache_ttl": 60}, "did you mean cache_ttl"),
        ({"ephemerals": "a"}, "did you mean ephemeral"),
    ],
)
def test_what_cannot_be(durable: str, hybrid: Hybrid, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(hybrid(durable, "memory://x", **options))


def streams(*names: str) -> list[StreamImage]:
    return [StreamImage(ref=StreamRef(name), version=1, first=1, last=1, dropped=False) for name in names]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_streams_of_both_are_listed_page_by_page(limit: int, reverse: bool) -> None:
    durable, heads = list("bdfhk"), streams("a", "c", "g", "z")
    query = Scan(kind="stream", limit=limit, reverse=reverse, start="b", stop="m")
    found: list[str] = []
    while True:
        rest = sorted(durable, reverse=reverse)
        rest = [n for n in rest if query.after is None or (n < query.after if reverse else n > query.after)]
        page = Page(1, 1, streams(*rest[:limit]), rest[limit - 1] if len(rest) > limit else None)
        page = with_heads(page, query, heads)
        assert len(page.items) <= limit
        found += [image.ref.stream for image in page.items]  # type: ignore[union-attr]
        if page.next is None:
            break
        query = Scan(kind="stream", limit=limit, reverse=reverse, start="b", stop="m", after=page.next)
    assert found == sorted("bcdfghk", reverse=reverse)


SUITE = (
    "records.*",
    "cas.*",
    "scan.*",
    "expiry.*",
    "stream.*",
    "group.*",
    "events.*",
    "sessions.*",
    "wake.*",
)


@faults
@pytest.mark.timeout(120)
async def test_the_suite_on_what_is_ephemeral(durable: str, hybrid: Hybrid) -> None:
    fast = f"memory://{uuid4().hex}"
    names = "c,d,s,t,hive:sessions"
    report = await conform(UrlHarness(hybrid(durable, fast, ephemeral=names)), select=list(SUITE))
    mixing = [each for each in failed(report) if "is ephemeral" in each]  # checks that do so, and are refused
    assert len(mixing) < 5
    assert failed(report) == mixing
