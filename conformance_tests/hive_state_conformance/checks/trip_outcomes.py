"""Area T, continued: how a trip ended, asked for after its answer was lost."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

from hive_state_conformance.checking import check
from hive_state_conformance.checks.trips import one, put, rec
from hive_state_conformance.env import Env
from hive_state_conformance.stream_tools import LEASE, G, S, seqs
from hive_state_core.features import Facility
from hive_state_core.model import TaskRef
from hive_state_core.spi import (
    Append,
    Batch,
    Claimed,
    ClaimedEvents,
    ClaimedTasks,
    ClaimEvents,
    ClaimTasks,
    Complete,
    CreateGroup,
    Enqueue,
    Outcome,
    Reply,
    VersionIs,
)

OUTCOMES = {Facility.OUTCOMES}


async def outcome(env: Env, trip_id: str) -> Reply[Outcome] | Reply[Claimed]:
    """Of a trip that changed something."""
    found = await env.driver.outcome(trip_id)
    assert found is not None, "the end of a trip that wrote is not known"
    return found


@check("trip.outcome.of_a_commit", area="T", number=19, needs=OUTCOMES | {Facility.TASKS, Facility.STREAMS})
async def of_a_commit(env: Env) -> None:
    """Contract: the end of a trip is known under its id, whatever was written since: every version, result
    and refusal as it was answered.
    """
    trip_id = uuid4().hex
    batches = [
        one(put("a")),
        Batch((put("b"),), (VersionIs(rec("absent"), 7),)),
        Batch((put("c"), Append(S, b"1"), Enqueue(TaskRef("t"), "q", b"1"))),
    ]
    reply = await env.driver.commit(batches, trip_id)
    await env.commit(Batch((put("a"), put("c"), Append(S, b"2"))))
    for _ in range(2):
        found = await outcome(env, trip_id)
        assert (list(found.results), found.at) == (list(reply.results), reply.at)


@check("trip.outcome.of_nothing", area="T", number=19, needs=OUTCOMES)
async def of_nothing(env: Env) -> None:
    """Contract: a trip that changed nothing, or never came, has no end, and never will have one."""
    trip_id = uuid4().hex
    await env.driver.commit([Batch((put("k"),), (VersionIs(rec("k"), 7),))], trip_id)
    assert await env.driver.outcome(trip_id) is None
    assert await env.driver.outcome(uuid4().hex) is None
    assert await env.record("c", "k") is None


@check("trip.outcome.of_a_claim", area="T", number=19, needs=OUTCOMES | {Facility.TASKS, Facility.STREAMS})
async def of_a_claim(env: Env) -> None:
    """Contract: the end of a claim gives again what it handed out, but for what is in other hands by now."""
    await env.commit(Batch(tuple(Enqueue(TaskRef(name), "q", b"1") for name in "abc")))
    await env.commit(Batch((CreateGroup(G, 0, 3), Append(S, b"1"))))
    trip_id = uuid4().hex
    reply = await env.driver.claim([ClaimTasks("q", "w", LEASE, 9), ClaimEvents(G, "c", LEASE, 9)], trip_id)
    tasks = cast(ClaimedTasks, reply.results[0]).tasks
    again = (await outcome(env, trip_id)).results
    assert cast(ClaimedTasks, again[0]).tasks == tasks
    assert seqs(cast(ClaimedEvents, again[1]).deliveries) == [1]
    await env.commit(one(Complete(tasks[1].ref, tasks[1].token)))
    (left, _) = (await outcome(env, trip_id)).results
    assert [task.ref.id for task in cast(ClaimedTasks, left).tasks] == ["a", "c"]
