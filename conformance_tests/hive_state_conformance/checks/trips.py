"""Area T: many batches in one trip, at the driver itself."""

from __future__ import annotations

from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.model import CommitRef, RecordImage, RecordRef, TaskRef, TaskState
from hive_state_core.spi import (
    Batch,
    Cancel,
    Committed,
    Complete,
    CreatedIs,
    Delete,
    Enqueue,
    Enqueued,
    Fail,
    LeaseIs,
    Op,
    Put,
    Reason,
    Redrive,
    Refused,
    Touch,
    VersionIs,
)

TASKS = {Facility.TASKS}


def rec(key: str) -> RecordRef:
    return RecordRef("c", key)


def put(key: str, value: bytes = b"1") -> Put:
    return Put(rec(key), value)


def one(op: Op) -> Batch:
    return Batch((op,))


@check("trip.refused_neighbour_untouched", area="T", number=1)
async def refused_neighbour_untouched(env: Env) -> None:
    """Contract: a refused batch leaves no trace, and its neighbours in the trip are committed all the
    same.
    """
    await env.commit(Batch((put("there"), put("other"))))
    reply = await env.trip(
        one(put("a")),
        Batch((put("refused"), Delete(rec("other"))), (VersionIs(rec("there"), 0),)),
        Batch((put("b"), put("d")), (VersionIs(rec("absent"), 0),)),
        one(put("e")),
    )
    kinds = [type(outcome) for outcome in reply.results]
    assert kinds == [Committed, Refused, Committed, Committed]
    found = (await env.driver.read([rec(key) for key in ("a", "refused", "other", "b", "d", "e")])).results
    assert [image is not None for image in found] == [True, False, True, True, True, True]


@check("trip.outcomes_in_order", area="T", number=2)
async def outcomes_in_order(env: Env) -> None:
    """Contract: a trip has one outcome for each batch and one result for each operation, in their order."""
    await env.commit(Batch((put("x"), put("y"))))
    reply = await env.trip(
        Batch((Delete(rec("absent")), put("n"), Delete(rec("x")))),
        one(Touch(rec("nothing"), 1000)),
        Batch((Touch(rec("y"), 60_000), Delete(rec("no")))),
        *(one(put(f"{n:03}")) for n in range(200)),
    )
    results = [cast(Committed, outcome).results for outcome in reply.results]
    assert results[:3] == [(False, None, True), (False,), (True, False)]
    assert results[3:] == [(None,)] * 200
    assert {cast(Committed, outcome).at for outcome in reply.results} == {reply.at}


@check("trip.no_change_no_version", area="T", number=3)
async def no_change_no_version(env: Env) -> None:
    """Contract: a batch that changed nothing has version 0, one that wrote has that of what it wrote."""
    reply = await env.trip(one(Delete(rec("absent"))), Batch((), (VersionIs(rec("no"), 0),)), one(put("k")))
    versions = [cast(Committed, outcome).version for outcome in reply.results]
    image = await env.record("c", "k")
    assert image is not None
    assert versions == [0, 0, image.version]


@check("trip.checks_see_the_pre_state", area="T", number=4)
async def checks_see_the_pre_state(env: Env) -> None:
    """Contract: checks are judged by the state before the trip, not by what the batch itself does."""
    version = (await env.commit(one(put("k")))).version
    await env.commit(
        Batch((put("k", b"2"), put("new")), (VersionIs(rec("k"), version), VersionIs(rec("new"), 0)))
    )
    assert (await env.refused(Batch((Delete(rec("k")),), (VersionIs(rec("k"), 0),)))).actual > version


@check("trip.first_refusal_counts", area="T", number=5)
async def first_refusal_counts(env: Env) -> None:
    """Contract: of several checks that fail the first is reported, with its place and both versions."""
    version = (await env.commit(one(put("k")))).version
    checks = (VersionIs(rec("k"), version), VersionIs(rec("k2"), 9), VersionIs(rec("k"), version + 1))
    refused = await env.refused(Batch((put("n"),), checks))
    assert refused == Refused(Reason.VERSION, rec("k2"), 1, True, 9, 0)


@check("trip.created_is", area="T", number=6)
async def created_is(env: Env) -> None:
    """Contract: CreatedIs holds through writes and touches of a record, and no longer once it was created
    anew.
    """
    first = (await env.commit(one(put("k")))).version
    held = Batch((put("witness"),), (CreatedIs(rec("k"), first),))
    for op in (put("k", b"2"), Touch(rec("k"), 60_000)):
        await env.commit(one(op))
        await env.commit(held)
    await env.commit(one(Delete(rec("k"))))
    await env.refused(held)
    await env.commit(one(put("k")))
    refused = await env.refused(held)
    assert (refused.ref, refused.in_check, refused.expected) == (rec("k"), True, first)


@check("trip.delete_within_a_large_trip", area="T", number=7)
async def delete_within_a_large_trip(env: Env) -> None:
    """Contract: puts, deletes and touches of many batches in one trip each do what they would do alone."""
    await env.commit(Batch(tuple(put(f"{n:03}") for n in range(90))))
    ops: list[Op] = []
    for n in range(90):
        ref = rec(f"{n:03}")
        ops.append((Put(ref, b"2", index=(("n", n),)), Delete(ref), Touch(ref, 60_000))[n % 3])
    reply = await env.trip(*map(one, ops))
    assert [cast(Committed, outcome).results[0] for outcome in reply.results] == [None, True, True] * 30
    images = (await env.driver.read([op.ref for op in ops if isinstance(op, Put | Delete | Touch)])).results
    for n, image in enumerate(cast("list[RecordImage | None]", images)):
        assert (image is None) == (n % 3 == 1)
        if image is not None:
            assert image.value == (b"2", b"", b"1")[n % 3]
            assert image.index == ((("n", n),) if n % 3 == 0 else ())
            assert (image.expires_at is None) == (n % 3 == 0)


@check("trip.refusals_of_leases", area="T", number=8, needs=TASKS)
async def refusals_of_leases(env: Env) -> None:
    """Contract: a lease that is not current refuses its batch alone, and says which token is."""
    await env.commit(Batch(tuple(Enqueue(TaskRef(name), "q", b"1") for name in "abc")))
    a, b, c = await env.claim_some("q")
    reply = await env.trip(
        Batch((put("n"), Complete(a.ref, a.token + 1))),
        Batch((Complete(b.ref, b.token),), (LeaseIs(c.ref, c.token),)),
        one(Fail(TaskRef("nobody"), 7, "e", None)),
    )
    refused, done, nobody = reply.results
    assert refused == Refused(Reason.LEASE, a.ref, 1, False, a.token + 1, a.token)
    assert isinstance(done, Committed)
    assert nobody == Refused(Reason.LEASE, TaskRef("nobody"), 0, False, 7, 0)
    assert await env.record("c", "n") is None
    stale = await env.refused(Batch((put("n"),), (LeaseIs(b.ref, b.token),)))
    assert (stale.reason, stale.in_check, stale.actual) == (Reason.LEASE, True, 0)


@check("trip.batch_sees_its_own", area="T", number=9, needs=TASKS | {Facility.DEPENDENCIES})
async def batch_sees_its_own(env: Env) -> None:
    """Contract: an operation sees the ones before it in its batch: a parent, a freed or taken dedupe key."""
    await env.commit(one(Enqueue(TaskRef("old"), "q", b"1", dedupe_key="d")))
    (old,) = await env.claim_some("q")
    done = await env.commit(
        Batch((
            Enqueue(TaskRef("early"), "q", b"1", dedupe_key="d"),
            Complete(old.ref, old.token),
            Enqueue(TaskRef("new"), "q", b"1", dedupe_key="d"),
            Enqueue(TaskRef("late"), "q", b"1", dedupe_key="d"),
            Enqueue(TaskRef("child"), "q", b"1", depends_on=("new", "old")),
        ))
    )  # fmt: skip
    made = [result for result in done.results if isinstance(result, Enqueued)]
    assert made == [
        Enqueued("old", False),
        Enqueued("new", True),
        Enqueued("new", False),
        Enqueued("child", True),
    ]
    child = await env.task("child")
    assert (child.state, child.unmet) == (TaskState.WAITING, 1)


@check("trip.cancel_and_redrive", area="T", number=10, needs=TASKS)
async def cancel_and_redrive(env: Env) -> None:
    """Contract: cancels and redrives of many batches in one trip each answer for their own task."""
    await env.commit(Batch(tuple(Enqueue(TaskRef(name), "q", b"1") for name in "abcd")))
    (a,) = await env.claim_some("q", limit=1)
    await env.commit(Batch((Cancel(TaskRef("d")),)))
    ops: list[Op] = [Cancel(TaskRef(name)) for name in ("a", "b", "no")]
    ops += [Redrive(TaskRef(name)) for name in ("c", "d")]
    reply = await env.trip(*map(one, ops))
    results = [cast(Committed, outcome).results[0] for outcome in reply.results]
    assert results == [TaskState.LEASED, TaskState.CANCELLED, None, False, True]
    assert (await env.task("a")).token == a.token
    assert [task.ref.id for task in await env.claim_some("q")] == ["c", "d"]


@check("trip.dedupe_key_from_batch_to_batch", area="T", number=10, needs=TASKS)
async def dedupe_key_from_batch_to_batch(env: Env) -> None:
    """Contract: a redrive in a trip sees that an earlier batch of it took or freed its dedupe key."""
    for name in ("free", "taken"):
        await env.commit(one(Enqueue(TaskRef(f"{name} dead"), "q", b"1", dedupe_key=name)))
        await env.commit(one(Cancel(TaskRef(f"{name} dead"))))
    await env.commit(one(Enqueue(TaskRef("holder"), "q", b"1", dedupe_key="free")))
    reply = await env.trip(
        one(Cancel(TaskRef("holder"))),
        one(Redrive(TaskRef("free dead"))),
        one(Enqueue(TaskRef("new"), "q", b"1", dedupe_key="taken")),
        one(Redrive(TaskRef("taken dead"))),
    )
    results = [cast(Committed, outcome).results[0] for outcome in reply.results]
    assert results == [TaskState.CANCELLED, True, Enqueued("new", True), False]


@check("trip.cancel_again_changes_nothing", area="T", number=3, needs=TASKS)
async def cancel_again_changes_nothing(env: Env) -> None:
    """Contract: cancelling again, or an ended task, gives its state and no new version."""
    await env.commit(Batch((Enqueue(TaskRef("leased"), "q", b"1"), Enqueue(TaskRef("ended"), "q", b"1"))))
    await env.claim_some("q", limit=1)
    for name in ("leased", "ended"):
        first = await env.commit(one(Cancel(TaskRef(name))))
        before = await env.task(name)
        again = await env.commit(one(Cancel(TaskRef(name))))
        assert (first.version, again.version) == (before.version, 0)
        assert again.results == (before.state,)
        assert await env.task(name) == before


@check("trip.commit_id_without_change", area="T", number=3)
async def commit_id_without_change(env: Env) -> None:
    """Contract: a batch that changed nothing is remembered by its commit id like any other."""
    batch = Batch((Delete(rec("k")),), commit_id="job", fingerprint=b"f")
    first = await env.commit(batch)
    assert (first.version, first.results) == (0, (False,))
    await env.commit(one(put("k")))
    assert await env.commit(batch) == first
    assert await env.record("c", "k") is not None
    other = await env.refused(Batch((put("n"),), commit_id="job", fingerprint=b"other"))
    assert (other.reason, other.ref, other.index, other.in_check) == (
        Reason.COMMIT_ID, CommitRef("job"), 0, False
    )  # fmt: skip
