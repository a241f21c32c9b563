"""What bounds an atomic unit, what it may expect, and how refusals name things."""

from __future__ import annotations

import gc
import weakref

import pytest

from hive_state_core import Store
from hive_state_core.errors import Conflict, LimitExceeded
from hive_state_core.limits import BATCH_OPS
from hive_state_core.model import CommitRef, DedupeRef, PendingRef, QueueRef, Ref, StreamRef
from hive_state_core.refusals import describe

pytestmark = pytest.mark.prompt


async def test_a_unit_has_so_many_operations_at_most(hive: Store) -> None:
    many = {str(number): number for number in range(BATCH_OPS + 1)}
    with pytest.raises(LimitExceeded, match="the number of operations in one atomic unit") as caught:
        await hive.records.put_many("c", many)
    assert (caught.value.actual, caught.value.allowed) == (BATCH_OPS + 1, BATCH_OPS)
    assert await hive.records.count("c") == 0
    del many["0"]
    await hive.records.put_many("c", many)
    assert await hive.records.count("c") == BATCH_OPS


async def test_a_unit_is_no_work_for_the_garbage_collector(hive: Store) -> None:
    async with hive.atomic() as unit:
        unit.records.put("c", "k", 1)
        unit.events.publish("s", 1)
    gone = weakref.ref(unit)
    gc.disable()
    try:
        del unit
        assert gone() is None, "it is part of a circle of references"
    finally:
        gc.enable()


async def test_a_delete_may_expect_a_version(hive: Store) -> None:
    version = await hive.records.put("c", "k", 1)
    with pytest.raises(Conflict):
        async with hive.atomic() as unit:
            unit.records.delete("c", "k", if_version=version + 1)
    async with hive.atomic() as unit:
        deleted = unit.records.delete("c", "k", if_version=version)
    assert deleted.result


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (QueueRef("q"), "queue 'q'"),
        (DedupeRef("q", "k"), "dedupe key 'k' in queue 'q'"),
        (StreamRef("s"), "stream 's'"),
        (PendingRef("s", "g", 3), "event 3 of stream 's', handed to group 'g',"),
        (CommitRef("id"), "commit 'id'"),
    ],
)
def test_what_was_refused_in_words(ref: Ref, words: str) -> None:
    assert describe(ref) == words


async def test_a_unit_has_so_many_bytes_at_most(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_core.unit.BATCH_BYTES", 1000)
    with pytest.raises(LimitExceeded, match="the size of an atomic unit in bytes") as caught:
        await hive.records.put_many("c", {str(number): b"x" * 400 for number in range(3)})
    assert caught.value.actual > caught.value.allowed == 1000
    assert await hive.records.count("c") == 0
