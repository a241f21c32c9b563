"""What a lone caller gets is what it would get in company; and trips that others overtake."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store
from hive_state_core.model import QueueRef, RecordRef, StreamRef, TaskImage, TaskRef, TaskState
from hive_state_core.spi import (
    Append,
    Batch,
    Cancel,
    ClaimTasks,
    Committed,
    Complete,
    Delete,
    DropStream,
    Enqueue,
    Enqueued,
    Put,
    Reason,
    Refused,
    Release,
    SetPaused,
    StreamRead,
    VersionIs,
)
from hive_state_core.url import parse_url
from hive_state_postgres import driver as postgres_driver

A = RecordRef("c", "a")


async def commit(hive: Store, batch: Batch, trip_id: str) -> Any:
    """The outcome of a trip of that batch, which is what is remembered of it."""
    reply = await hive._driver.commit([batch], trip_id)
    remembered = await hive._driver.outcome(trip_id)
    assert remembered == reply or (remembered is None and not _changed(reply.results[0]))
    return reply.results[0]


def _changed(outcome: object) -> bool:
    return isinstance(outcome, Committed) and outcome.version > 0


async def read(hive: Store, ref: RecordRef | TaskRef) -> Any:
    return (await hive._driver.read([ref])).results[0]


async def claim(hive: Store, trip_id: str) -> TaskImage | None:
    reply = await hive._driver.claim([ClaimTasks("q", "w", 60_000)], trip_id)
    tasks = reply.results[0].tasks  # type: ignore[union-attr]
    if tasks:
        assert await hive._driver.outcome(trip_id) == reply
    return tasks[0] if tasks else None


async def test_a_put_of_what_is_new_there_expired_or_deleted(hive: Store) -> None:
    made = await commit(hive, Batch((Put(A, b"1", ttl=60_000),)), "made")
    again = await commit(hive, Batch((Put(A, b"2", ttl=-1),)), "again")
    image = await read(hive, A)
    assert (image.value, image.version, image.created_version) == (b"2", again.version, made.version)
    assert image.expires_at is not None
    await commit(hive, Batch((Put(A, b"3", ttl=1),)), "short")
    await asyncio.sleep(0.01)
    anew = await commit(hive, Batch((Put(A, b"4"),)), "anew")
    image = await read(hive, A)
    assert (image.value, image.created_version, image.expires_at) == (b"4", anew.version, None)
    await commit(hive, Batch((Delete(A),)), "deleted")
    back = await commit(hive, Batch((Put(A, b"5"),), (VersionIs(A, 0),)), "back")
    assert (await read(hive, A)).created_version == back.version


async def test_a_put_is_refused_by_its_check(hive: Store) -> None:
    made = await commit(hive, Batch((Put(A, b"1"),), (VersionIs(A, 0),)), "made")
    for trip_id, expected in (("absent", 0), ("other", made.version + 1)):
        refused = await commit(hive, Batch((Put(A, b"2"),), (VersionIs(A, expected),)), trip_id)
        assert isinstance(refused, Refused)
        assert (refused.ref, refused.index, refused.in_check) == (A, 0, True)
        assert (refused.expected, refused.actual) == (expected, made.version)
    changed = await commit(hive, Batch((Put(A, b"3"),), (VersionIs(A, made.version),)), "held")
    assert changed.version > made.version


async def test_an_enqueue_of_a_task_that_is_there(hive: Store) -> None:
    task = Enqueue(TaskRef("t"), "q", b"1", requires=("x", "y"))
    assert (await commit(hive, Batch((task,)), "first")).results == (Enqueued("t", True),)
    assert (await read(hive, task.ref)).requires == ("x", "y")
    second = await commit(hive, Batch((task,)), "second")
    assert (second.version, second.results) == (0, (Enqueued("t", False),))


async def test_a_completion_lets_the_children_go(hive: Store) -> None:
    await commit(hive, Batch((Enqueue(TaskRef("parent"), "q", b"1"),)), "parent")
    await commit(hive, Batch((Enqueue(TaskRef("child"), "q", b"2", depends_on=("parent",)),)), "child")
    held = await claim(hive, "claim")
    assert held is not None
    await commit(hive, Batch((Complete(held.ref, held.token, b"r"),)), "done")
    assert (await read(hive, held.ref)).state is TaskState.COMPLETED
    assert (await read(hive, TaskRef("child"))).state is TaskState.READY
    late = await commit(hive, Batch((Complete(held.ref, held.token),)), "late")
    assert isinstance(late, Refused)
    assert (late.expected, late.actual) == (held.token, 0)


async def test_a_claim_sees_pauses_due_tasks_and_leases_that_are_over(hive: Store) -> None:
    assert await claim(hive, "empty") is None
    await commit(hive, Batch((Enqueue(TaskRef("t"), "q", b"1", delay=1, max_attempts=2),)), "t")
    await asyncio.sleep(0.01)
    await commit(hive, Batch((SetPaused(QueueRef("q"), True),)), "paused")
    assert await claim(hive, "held back") is None
    await commit(hive, Batch((SetPaused(QueueRef("q"), False),)), "resumed")
    first = (await hive._driver.claim([ClaimTasks("q", "w", 1)], "due")).results[0].tasks  # type: ignore[union-attr]
    await asyncio.sleep(0.01)
    second = await claim(hive, "over")
    assert second is not None
    assert (second.ref, second.attempt) == (first[0].ref, 2)


async def test_appends_to_a_stream_that_is_new_there_or_dropped(hive: Store) -> None:
    stream = StreamRef("s")
    outcomes = [await commit(hive, Batch((Append(stream, body),)), body.decode()) for body in (b"1", b"2")]
    assert [outcome.results for outcome in outcomes] == [(1,), (2,)]
    assert outcomes[0].version < outcomes[1].version
    await commit(hive, Batch((DropStream(stream),)), "dropped")
    assert (await commit(hive, Batch((Append(stream, b"3"),)), "3")).results == (3,)
    (page,) = (await hive._driver.stream([StreamRead(stream, 1, 10)])).results
    assert [(event.seq, event.body) for event in page.events] == [(3, b"3")]


async def test_streams_that_are_made_at_once_have_no_gaps(hive: Store) -> None:
    """Each by trips of its own, of which all but the first begin anew."""
    batch = Batch((Append(StreamRef("s"), b"1"),))
    replies = await asyncio.gather(*[hive._driver.commit([batch], f"trip-{n}") for n in range(5)])
    assert sorted(reply.results[0].results[0] for reply in replies) == [1, 2, 3, 4, 5]  # type: ignore[union-attr]


async def overtaken(hive: Store, url: str, table: str, key: str, send: Any) -> Any:
    """(the newer version that a row got while a trip waited for it, the reply of that trip)"""
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    try:
        async with db.transaction():
            await db.execute(f"SELECT 1 FROM {schema}.{table} WHERE {key} FOR UPDATE")
            trip = asyncio.create_task(send())
            await asyncio.sleep(0.2)
            assert not trip.done()
            newer = f"version = (version >> 43 << 43) + nextval('{schema}.counter')"
            overtaking = await db.fetchval(
                f"UPDATE {schema}.{table} SET {newer} WHERE {key} RETURNING version"
            )
        return overtaking, await trip
    finally:
        await db.close()


@pytest.mark.parametrize("others", [0, 2])
async def test_a_put_that_was_overtaken_has_the_newer_version(hive: Store, url: str, others: int) -> None:
    await commit(hive, Batch((Put(A, b"1"),)), "made")
    batches = [Batch((Put(RecordRef("c", key), b"2"),)) for key in ("a", "b", "d")[: 1 + others]]
    before, reply = await overtaken(
        hive, url, "records", "key = 'a'", lambda: hive._driver.commit(batches, "trip")
    )
    assert {outcome.version > before for outcome in reply.results} == {True}
    assert (await read(hive, A)).version == reply.results[0].version
    if others:
        assert hive._driver._careful == postgres_driver.CAREFUL_TRIPS - 1  # type: ignore[attr-defined]


async def test_an_append_that_was_overtaken_has_the_newer_version(hive: Store, url: str) -> None:
    batch = Batch((Append(StreamRef("s"), b"1"),))
    await commit(hive, batch, "made")
    before, reply = await overtaken(
        hive, url, "streams", "stream = 's'", lambda: hive._driver.commit([batch], "trip")
    )
    (outcome,) = reply.results
    assert (outcome.version > before, outcome.results) == (True, (2,))


@pytest.mark.parametrize("others", [0, 1])
async def test_a_compare_and_set_that_was_overtaken_is_refused(hive: Store, url: str, others: int) -> None:
    made = await commit(hive, Batch((Put(A, b"1"),)), "made")
    batches = [Batch((Put(A, b"2"),), (VersionIs(A, made.version),))]
    batches += [Batch((Put(RecordRef("c", "b"), b"2"),))] * others
    before, reply = await overtaken(
        hive, url, "records", "key = 'a'", lambda: hive._driver.commit(batches, "trip")
    )
    assert isinstance(reply.results[0], Refused)
    assert reply.results[0].actual == before
    assert (await read(hive, A)).value == b"1"


async def test_a_completion_whose_task_was_extended_meanwhile(hive: Store, url: str) -> None:
    for id in ("t1", "t2"):
        await commit(hive, Batch((Enqueue(TaskRef(id), "q", b"1"),)), id)
    held = [await claim(hive, trip_id) for trip_id in ("c1", "c2")]
    batches = [Batch((Complete(task.ref, task.token),)) for task in held if task]
    before, reply = await overtaken(
        hive, url, "tasks", "id = 't1'", lambda: hive._driver.commit(batches, "trip")
    )
    assert [outcome.version > before for outcome in reply.results] == [True, True]


@pytest.mark.parametrize("others", [0, 1])
async def test_a_task_that_begins_to_wait_while_its_parent_is_completed(
    hive: Store, url: str, others: int
) -> None:
    """The parent is locked, not changed, by who makes the child."""
    for id in ("t1", "t2"):
        await commit(hive, Batch((Enqueue(TaskRef(id), "q", b"1"),)), id)
    held = [await claim(hive, trip_id) for trip_id in ("c1", "c2")]
    batches = [Batch((Complete(task.ref, task.token),)) for task in held[: 1 + others] if task]
    await commit(hive, Batch((Enqueue(TaskRef("child"), "q", b"1", depends_on=("t2",)),)), "child")
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    async with db.transaction():
        await db.execute(f"SELECT 1 FROM {schema}.tasks WHERE id = 't1' FOR UPDATE")
        trip = asyncio.create_task(hive._driver.commit(batches, "trip"))
        await asyncio.sleep(0.2)
        await db.execute(f"UPDATE {schema}.task_children SET parent = 't1' WHERE child = 'child'")
    reply = await trip
    await db.close()
    assert all(isinstance(outcome, Committed) for outcome in reply.results)
    assert (await read(hive, TaskRef("child"))).state is TaskState.READY


async def test_a_cancelled_task_is_not_completed_alone(hive: Store) -> None:
    await commit(hive, Batch((Enqueue(TaskRef("t"), "q", b"1"),)), "t")
    await commit(hive, Batch((Cancel(TaskRef("t")),)), "cancel")
    assert isinstance(await commit(hive, Batch((Complete(TaskRef("t"), 0),)), "done"), Refused)


async def test_units_that_hold_are_decided_by_what_they_write(hive: Store) -> None:
    units = [await unit_of(hive, id) for id in ("t1", "t2")]
    reply = await hive._driver.commit(units, "trip")
    assert all(isinstance(outcome, Committed) for outcome in reply.results)
    assert hive._driver._careful == 0  # type: ignore[attr-defined]
    assert [(await read(hive, TaskRef(id))).state for id in ("t1", "t2")] == [TaskState.COMPLETED] * 2


async def test_a_unit_that_does_not_hold_is_refused_whole_and_alone(hive: Store) -> None:
    """The lease of one is over, the record of another has changed; the trip begins anew, carefully."""
    lost, outdated, held = [await unit_of(hive, id) for id in ("lost", "outdated", "held")]
    complete = cast(Complete, lost.ops[0])
    await commit(hive, Batch((Release(complete.ref, complete.token),)), "released")
    await commit(hive, Batch((Put(RecordRef("c", "outdated"), b"x"),)), "changed")
    reply = await hive._driver.commit([lost, outdated, held], "trip")
    first, second, third = reply.results
    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert (first.reason, first.ref) == (Reason.LEASE, complete.ref)
    assert (second.reason, second.ref) == (Reason.VERSION, RecordRef("c", "outdated"))
    assert isinstance(third, Committed)
    assert await read(hive, RecordRef("c", "lost")) is None
    assert (await read(hive, TaskRef("outdated"))).state is TaskState.LEASED
    assert hive._driver._careful == postgres_driver.CAREFUL_TRIPS - 1  # type: ignore[attr-defined]


async def test_what_a_unit_does_not_write_is_decided_before(hive: Store) -> None:
    """A check of a record that it only looks at, and a completion that can hold for nobody."""
    made = await commit(hive, Batch((Put(A, b"1"),)), "made")
    looks = Batch((Put(RecordRef("c", "b"), b"1"),), (VersionIs(A, made.version + 1),))
    nobodys = Batch((Complete(TaskRef("t"), 0), Put(RecordRef("c", "d"), b"1")))
    for batch in (looks, nobodys):
        reply = await hive._driver.commit(
            [batch, Batch((Put(RecordRef("c", "e"), b"1"),))], type(batch.ops[0]).__name__
        )
        assert [type(outcome) for outcome in reply.results] == [Refused, Committed]
    assert await read(hive, RecordRef("c", "b")) is None
    assert await read(hive, RecordRef("c", "d")) is None
    assert hive._driver._careful == 0  # type: ignore[attr-defined]


async def unit_of(hive: Store, id: str) -> Batch:
    """Completes a task of that id that was claimed, and makes a record of that key."""
    await commit(hive, Batch((Enqueue(TaskRef(id), "q", b"1"),)), f"enqueued {id}")
    task = await claim(hive, f"claimed {id}")
    assert task is not None
    record = RecordRef("c", id)
    return Batch((Complete(task.ref, task.token), Put(record, b"1")), (VersionIs(record, 0),))
