"""Streams and consumer groups on SQLite, through the user's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import AlreadyExists, LeaseLost


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path}/hive.db?synchronous=NORMAL") as hive:
        yield hive


async def test_numbers_are_gapless_although_a_batch_is_refused(hive: Store) -> None:
    await hive.records.put("c", "k", 1)
    assert await hive.events.publish("s", "a") == 1
    unit = hive.atomic()
    unit.events.publish("s", "never")
    unit.records.put("c", "k", 2, if_absent=True)
    with pytest.raises(AlreadyExists):
        await unit.commit()
    await asyncio.gather(*(hive.events.publish("s", n) for n in range(50)))
    events = await hive.events.read("s", start=1, limit=100)
    assert [event.seq for event in events] == list(range(1, 52))


async def test_one_commit_over_records_tasks_and_streams(hive: Store) -> None:
    await hive.tasks.enqueue("q", 1)
    (lease,) = await hive.tasks.claim("q", worker="w")
    async with hive.atomic() as unit:
        unit.tasks.complete(lease)
        unit.records.put("done", lease.id, 1)
        seq = unit.events.publish("audit", {"task": lease.id})
    assert seq.result == 1
    unit = hive.atomic()
    unit.events.publish("audit", "twice")
    unit.tasks.complete(lease)
    with pytest.raises(LeaseLost):
        await unit.commit()
    assert len(await hive.events.read("audit", start=1, limit=10)) == 1


async def test_a_redelivery_fences_the_late_ack(hive: Store) -> None:
    await hive.events.create_group("s", "g", start="beginning")
    await hive.events.publish("s", "a")
    (late,) = await hive.events.claim("s", "g", consumer="one", lease=0.02)
    await asyncio.sleep(0.05)
    (again,) = await hive.events.claim("s", "g", consumer="two", lease=30)
    assert (again.event.seq, again.token != late.token) == (1, True)
    with pytest.raises(LeaseLost):
        await hive.events.ack(late)
    await hive.events.ack(again)
    assert await hive.events.claim("s", "g", consumer="two", lease=30) == []


async def test_every_event_goes_to_one_consumer_of_a_group_and_to_every_group(hive: Store) -> None:
    for group in ("g", "h"):
        await hive.events.create_group("s", group, start="beginning")
    await hive.events.publish_many("s", list(range(60)))
    seen: dict[str, list[int]] = {"g": [], "h": []}

    async def consume(group: str, name: str) -> None:
        while found := await hive.events.claim("s", group, consumer=name, lease=30, limit=7):
            seen[group] += [each.event.seq for each in found]
            await hive.events.ack(*found)

    await asyncio.gather(*(consume(group, f"c{n}") for group in seen for n in range(3)))
    assert all(sorted(seqs) == list(range(1, 61)) for seqs in seen.values())


async def test_used_up_deliveries_are_dead_and_keep_the_stream_from_being_trimmed(hive: Store) -> None:
    await hive.events.create_group("s", "g", start="beginning", max_deliveries=1)
    await hive.events.publish_many("s", ["poison", "fine"])
    bad, good = await hive.events.claim("s", "g", consumer="c", lease=30, limit=2)
    await hive.events.nack(bad, error="no way", retry_in=0)
    await hive.events.ack(good)
    stats = (await hive.stats()).groups["s", "g"]
    assert (stats.dead, stats.pending, stats.lag) == (1, 0, 0)
    assert (await hive.events.trim("s", first=3)).removed == 0
    trimmed = await hive.events.trim("s", first=3, force=True)
    assert (trimmed.removed, trimmed.dropped, trimmed.first) == (2, 1, 3)
    assert await hive.events.publish("s", "next") == 3


async def test_numbers_go_on_after_a_drop_and_a_reopening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/again.db"
    async with open_store(url) as hive:
        await hive.events.publish_many("s", [1, 2, 3])
        assert await hive.events.drop("s")
        await hive.events.create_group("t", "g", start="beginning")
        await hive.events.publish("t", "kept")
    async with open_store(url) as hive:
        assert await hive.events.publish("s", 4) == 4
        (delivery,) = await hive.events.claim("t", "g", consumer="c", lease=30)
        assert delivery.event.body == "kept"


async def test_checkpoints_sessions_and_locks(hive: Store) -> None:
    for number in range(5):
        await hive.checkpoints.save("nightly", {"n": number})
    await hive.checkpoints.prune("nightly", keep=2)
    latest = await hive.checkpoints.latest("nightly")
    assert latest is not None
    assert latest.data == {"n": 4}
    await hive.sessions.set("s1", {"user": "u"}, ttl=0.05)
    assert await hive.sessions.get("s1")
    async with hive.locks.acquire("deploy", ttl=30) as first:
        assert await hive.locks.try_acquire("deploy") is None
    async with hive.locks.acquire("deploy", ttl=30) as second:
        assert second.fencing_token > first.fencing_token
    await asyncio.sleep(0.06)
    assert await hive.sessions.get("s1") is None
