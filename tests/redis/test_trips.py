"""Trips whose fate was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import Unavailable
from hive_state_core.model import RecordRef, TaskState
from hive_state_core.spi import Batch, Claimed, ClaimedTasks, ClaimTasks, Complete, Put, Reply


async def test_a_trip_that_comes_after_its_void_fails(url: str) -> None:
    async with open_store(url) as hive:
        assert await hive._driver.outcome("late") is None
        with pytest.raises(Unavailable, match="given up before it reached the server"):
            await hive._driver.commit([Batch((Put(RecordRef("c", "k"), b"1"),))], "late")
        assert await hive.records.get("c", "k") is None


def given(reply: Reply[Claimed] | None) -> list[tuple[list[tuple[bytes, str | None, int]], int | None]]:
    """What each request got: payloads and workers of its tasks, and when more may be due."""
    assert reply is not None
    claimed = cast(Sequence[ClaimedTasks], reply.results)
    return [
        ([(task.payload, task.worker, task.attempt) for task in each.tasks], each.next_due_in)
        for each in claimed
    ]


REQUESTS = [
    ClaimTasks("q", "a" * 40, 60_000, limit=2),
    ClaimTasks("q", "b", 60_000, limit=2),
    ClaimTasks("q", "c", 60_000, limit=1),
    ClaimTasks("other", "d", 60_000, limit=1),
    ClaimTasks("q", "e" * 300, 5_000, limit=1),
    ClaimTasks("q", "f", 5_000, limit=1),
]


async def enqueued(hive: Store, number: int) -> None:
    for place in range(number):
        await hive.tasks.enqueue("q", place, priority=place)


async def test_neighbours_that_claim_alike_get_what_each_asked_for(url: str) -> None:
    """They travel as one run. The outcome that is asked for later leaves out what is not held any more."""
    async with open_store(url, janitor=False) as hive:
        await enqueued(hive, 6)
        reply = await hive._driver.claim(REQUESTS, "trip")
        expected: list[tuple[list[tuple[bytes, str | None, int]], int | None]] = [
            ([(b"0", "a" * 40, 1), (b"1", "a" * 40, 1)], None),
            ([(b"2", "b", 1), (b"3", "b", 1)], None),
            ([(b"4", "c", 1)], None),
            ([], None),
            ([(b"5", "e" * 300, 1)], None),
            ([], 5_000),
        ]
        assert given(reply) == expected
        assert given(cast("Reply[Claimed] | None", await hive._driver.outcome("trip"))) == expected

        tasks = [task for each in cast(Sequence[ClaimedTasks], reply.results) for task in each.tasks]
        ended = [Batch((Complete(task.ref, task.token),)) for task in (tasks[0], tasks[3], tasks[5])]
        await hive._driver.commit(ended, "ends")
        left = given(cast("Reply[Claimed] | None", await hive._driver.outcome("trip")))
        payloads = [[payload for payload, _, _ in got] for got, _ in left]
        assert payloads == [[b"1"], [b"2"], [b"4"], [], [], []]
        assert (await hive.stats()).queues["q"].states == {TaskState.LEASED: 3, TaskState.COMPLETED: 3}


async def test_a_task_is_as_it_was_after_claims_and_ends_on_bytes(url: str) -> None:
    """Attempts, a request to stop and what lies behind the worker stay as they are."""
    async with open_store(url, janitor=False) as hive:
        made = await hive.tasks.enqueue("q", {"a": 1}, max_attempts=300, requires=["gpu"], id="t")
        for attempt in (1, 2):
            (lease,) = await hive.tasks.claim("q", worker="w" * 31, capabilities=["gpu"])
            assert (lease.id, lease.attempt) == (made.id, attempt)
            await hive.tasks.fail(lease, "again", retry_in=0)
        (lease,) = await hive.tasks.claim("q", worker="w" * 32, capabilities=["gpu"])
        await hive.tasks.cancel("t")
        await hive.tasks.complete(lease, b"\0raw")
        task = await hive.tasks.get("t")
        assert task is not None
        assert (task.state, task.attempt) == (TaskState.COMPLETED, 3)
        assert (task.worker, task.lease_until) == (None, None)
        assert (task.cancel_requested, task.error, task.result) == (True, "again", b"\0raw")
        assert (task.requires, task.max_attempts, task.payload) == (("gpu",), 300, {"a": 1})
        assert task.finished_at is not None
