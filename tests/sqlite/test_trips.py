"""What trips seldom meet: full replies, loaded tasks, readers in the way, a namespace that is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hive_state_conformance.transfer import turn
from hive_state_core import Store, open_store
from hive_state_core.errors import SchemaMismatch, Unavailable
from hive_state_core.model import RecordRef, TaskImage, TaskRef, TaskState
from hive_state_core.spi import (
    Batch,
    ClaimedTasks,
    ClaimTasks,
    Committed,
    Complete,
    ControlState,
    Put,
    Refused,
    VersionIs,
)
from hive_state_sqlite import claiming, trip
from hive_state_sqlite.turnstile import Turnstile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hive.db"


@pytest.fixture
async def hive(path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{path}?synchronous=NORMAL") as hive:
        yield hive


async def image_of(hive: Store, id: str) -> TaskImage:
    return cast(TaskImage, (await hive.replication().images([TaskRef(id)]))[0])


async def load(hive: Store, *images: TaskImage) -> None:
    """As into a store that the hive is moved to."""
    port = hive.replication()
    await turn(port, ControlState.STANDBY)
    assert await port.load(images) == len(images)
    await turn(port, ControlState.OPEN)


async def test_a_claim_ends_when_its_reply_is_full(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "REPLY_BYTES", 1000)
    for requires in ((), (), (), ("gpu",)):
        await hive.tasks.enqueue("q", b"x" * 600, requires=requires)
    request = ClaimTasks("q", "w", 60_000, 9, frozenset({"gpu"}))
    for left in (2, 0):
        (claimed,) = (await hive._driver.claim([request], f"trip-{left}")).results
        assert isinstance(claimed, ClaimedTasks)
        assert len(claimed.tasks) == 2
        assert claimed.next_due_in == 0 or not left
        assert await hive.tasks.count(states=["ready"]) == left


async def test_a_child_that_does_not_wait_is_not_released(hive: Store) -> None:
    """It was loaded with a parent that is not completed here."""
    async with open_store("memory://") as other:
        await other.tasks.enqueue("q", 1, id="parent")
        (lease,) = await other.tasks.claim("q", worker="w")
        leased = await image_of(other, "parent")
        await other.tasks.complete(lease)
        await other.tasks.enqueue("q", 1, id="child", depends_on=["parent"])
        child = await image_of(other, "child")
    await load(hive, leased, child)
    await hive._driver.commit([Batch((Complete(leased.ref, leased.token),))], "trip")
    assert (await image_of(hive, "parent")).state is TaskState.COMPLETED
    assert await image_of(hive, "child") == child


async def test_a_dedupe_place_is_given_back_by_who_holds_it(hive: Store) -> None:
    """Two tasks with one key, as they may be loaded while the hive is on its way."""
    async with open_store("memory://") as other:
        await other.tasks.enqueue("q", 1, id="one", dedupe_key="k")
        one = await image_of(other, "one")
    await load(hive, one, replace(one, ref=TaskRef("two"), version=one.version + 1))
    leases = await hive.tasks.claim("q", worker="w", limit=2)
    assert [lease.id for lease in leases] == ["one", "two"]
    for lease in reversed(leases):
        assert not (await hive.tasks.enqueue("q", 1, dedupe_key="k")).created
        await hive.tasks.fail(lease, "no more", retry_in=None)
    assert (await hive.tasks.enqueue("q", 1, dedupe_key="k")).created


async def test_a_reader_in_the_way_of_the_log_fails_nobody(
    hive: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trip, "CHECKPOINT_PAGES", 10)
    monkeypatch.setattr(trip, "LONE_PAGES", 10)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchall()
    many = {str(number): b"x" * 4000 for number in range(50)}
    for _ in range(3):
        await hive.records.put_many("c", many)
    assert pages_to_copy(path) > 10
    reader.close()
    cast(Any, hive._driver)._writer._blocked_until = 0.0  # it waits a second before it tries again
    await hive.records.put_many("c", many)
    assert pages_to_copy(path) <= 10


def pages_to_copy(path: Path) -> int:
    db = sqlite3.connect(path)
    _, log, done = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    db.close()
    return int(log - done)


async def test_a_namespace_that_was_dropped_meanwhile(hive: Store, path: Path) -> None:
    await hive.records.put("c", "k", 1)
    await open_store(f"sqlite:///{path}")._driver.schema("drop")
    with pytest.raises(SchemaMismatch, match="dropped while this store was open"):
        await hive.records.put("c", "k", 2)


async def test_of_swaps_that_travel_together_each_has_its_own_end(hive: Store) -> None:
    refs = [RecordRef("c", key) for key in ("as expected", "newer", "not there")]
    known = [await hive.records.put("c", ref.key, 1) for ref in refs[:2]]
    await hive.records.put("c", "newer", 2)
    swaps = [
        Batch((Put(ref, b"3"),), (VersionIs(ref, version),))
        for ref, version in zip(refs, [*known, 7], strict=True)
    ]
    swapped, *refused = (await hive._driver.commit(swaps, "trip")).results
    assert isinstance(swapped, Committed)
    assert all(isinstance(each, Refused) for each in refused)
    assert [image and image.value for image in (await hive._driver.read(refs)).results] == [b"3", b"2", None]


async def test_who_cannot_get_in_says_so(path: Path) -> None:
    async with open_store(f"sqlite:///{path}?timeout=0.05") as hive:
        with closing(Turnstile(path)) as other:
            assert other.acquire(0)
            with pytest.raises(Unavailable, match=r"other processes kept it busy for 0\.05 s"):
                await hive.tasks.enqueue("q", 1)
            other.release()
        assert await hive.tasks.count() == 0
        await hive.tasks.enqueue("q", 1)
