"""Area R, continued: what a store notes of its changes while somebody has to be told of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.checking import NotRun, check
from hive_state_conformance.env import Env
from hive_state_conformance.life import live
from hive_state_conformance.transfer import (
    NEEDS,
    STREAMS,
    TASKS,
    everything,
    hand_over,
    port,
    pump,
    sinks,
    standby,
)
from hive_state_core.features import Facility
from hive_state_core.model import (
    CommitRef,
    EntityRef,
    Gone,
    GroupRef,
    PendingImage,
    PendingRef,
    QueueRef,
    RecordRef,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import (
    CACHE,
    PEER,
    Ack,
    Batch,
    Cancel,
    ClaimEvents,
    Committed,
    Complete,
    CreateGroup,
    Delete,
    DropGroup,
    DropStream,
    Extend,
    ExtendDeliveries,
    Fail,
    Mark,
    Nack,
    Op,
    Put,
    Redrive,
    Release,
    Retention,
    Seek,
    SetPaused,
    Settling,
    Touch,
    Trim,
)

OTHER = "audit"
"""A sink that no driver knows."""

SWEEP = Retention(completed=0, cancelled=0, dead=0, tombstones=0, commits=0)
STREAM, GROUP = StreamRef("s"), GroupRef("s", "g")


async def changed_by(env: Env, write: Callable[[], Awaitable[object]]) -> set[EntityRef]:
    """What is marked by this write, and nothing else was before."""
    await port(env).clear(PEER, await port(env).marks(PEER, 1000))
    await write()
    marks = await port(env).marks(PEER, 1000)
    images = await port(env).images([mark.ref for mark in marks])
    for mark, image in zip(marks, images, strict=True):
        assert image is not None
        assert image.version == mark.version, f"{mark.ref}: mark {mark.version}, image {image.version}"
    return {mark.ref for mark in marks}


@check("capture.records", area="R", number=11, needs=NEEDS)
async def records(env: Env) -> None:
    """Contract: while a sink is active, each put, delete, touch and remembered commit leaves a mark with the
    new version, and what changes nothing leaves none."""
    ref = RecordRef("c", "k")
    await env.store.records.put("c", "before", 1)
    await sinks(port(env), PEER)

    async def after(*batches: Batch) -> set[EntityRef]:
        return await changed_by(env, lambda: env.trip(*batches))

    assert await port(env).marks(PEER, 10) == []
    assert await after(Batch((Put(ref, b"1"),))) == {ref}
    assert await after(Batch((Touch(ref, 60_000),))) == {ref}
    assert await after(Batch((Delete(ref),))) == {ref}
    assert await after(Batch((Delete(ref),))) == set()
    assert await after(Batch((Put(ref, b"1"),), commit_id="job", fingerprint=b"f")) == {ref, CommitRef("job")}
    many = [Batch((Put(RecordRef("c", f"{n}"), b"1"),)) for n in range(5)]
    assert await after(*many) == {RecordRef("c", f"{n}") for n in range(5)}


@check("capture.tasks", area="R", number=12, needs=TASKS)
async def tasks(env: Env) -> None:
    """Contract: while a sink is active, every change of a task or queue leaves a mark: by an operation, a
    claim, a lease that ran out, a promotion."""
    await sinks(port(env), PEER)
    task, store = TaskRef("t"), env.store

    async def after(op: Op) -> set[EntityRef]:
        return await changed_by(env, lambda: env.trip(Batch((op,))))

    async def lease(duration: int = 60_000) -> int:
        """Its token."""
        found: list[int] = []

        async def claim() -> None:
            found.extend([each.token for each in await env.claim_some("q", lease=duration)])

        assert await changed_by(env, claim) == {task}
        return found[0]

    assert await changed_by(env, lambda: store.tasks.enqueue("q", 1, id="t", max_attempts=3)) == {task}
    token = await lease()
    assert await after(Extend(task, token, 90_000)) == {task}
    assert await after(Release(task, token)) == {task}
    assert await after(Fail(task, await lease(), "no", 0)) == {task}
    await lease(1)
    await env.until_lease_over("t")
    assert await changed_by(env, lambda: env.driver.sweep(10, Retention())) == {task}
    assert await after(Cancel(task)) == {task}
    assert await after(Redrive(task)) == {task}
    assert await after(Complete(task, await lease())) == {task}
    assert await changed_by(env, lambda: store.tasks.enqueue("q", 1, id="u", delay=0.001)) == {TaskRef("u")}
    await env.until((await env.task("u")).due_at)
    assert await changed_by(env, lambda: env.driver.sweep(10, Retention())) == {TaskRef("u")}
    assert await after(SetPaused(QueueRef("q"), True)) == {QueueRef("q")}


@check("capture.children", area="R", number=12, needs=TASKS | {Facility.DEPENDENCIES})
async def children(env: Env) -> None:
    """Contract: a child that its parent's end changes is marked too."""
    await env.store.tasks.enqueue("q", 1, id="parent")
    await env.store.tasks.enqueue("q", 1, id="child", depends_on=["parent"])
    (parent,) = await env.claim_some("q")
    await sinks(port(env), PEER)
    done = Batch((Complete(parent.ref, parent.token),))
    assert await changed_by(env, lambda: env.trip(done)) == {TaskRef("parent"), TaskRef("child")}


@check("capture.streams", area="R", number=13, needs=STREAMS)
async def streams(env: Env) -> None:
    """Contract: while a sink is active, every change of a stream, group or delivery leaves a mark, and
    a group whose counts change is among what is changed."""
    await sinks(port(env), PEER)
    events = env.store.events
    deliveries = [PendingRef("s", "g", seq) for seq in range(5)]

    async def after(*ops: Op) -> set[EntityRef]:
        return await changed_by(env, lambda: env.trip(Batch(ops)))

    async def claim() -> None:
        await env.driver.claim([ClaimEvents(GROUP, "c", 60_000, 10)], uuid4().hex)

    assert await changed_by(env, lambda: events.publish_many("s", [1, 2, 3, 4])) == {STREAM}
    assert await after(CreateGroup(GROUP, 0, 5)) == {GROUP}
    assert await changed_by(env, claim) == {GROUP, *deliveries[1:]}
    (first,) = await port(env).images([deliveries[1]])
    token = cast(PendingImage, first).token
    assert await after(Ack(GROUP, ((1, token),))) == {GROUP, deliveries[1]}
    assert isinstance((await port(env).images([deliveries[1]]))[0], Gone)
    assert await after(Nack(GROUP, ((2, token),), None)) == {GROUP, deliveries[2]}
    assert deliveries[3] in await after(ExtendDeliveries(GROUP, ((3, token),), 90_000))
    assert await after(Trim(STREAM, 4, force=True)) == {STREAM, GROUP, *deliveries[2:4]}
    assert await after(Seek(GROUP, 4)) == {GROUP, deliveries[4]}
    assert await after(DropGroup(GROUP)) == {GROUP}
    await env.trip(Batch((CreateGroup(GROUP, 0, 5),)))
    await claim()
    assert await after(DropStream(STREAM)) == {STREAM, GROUP, deliveries[4]}


@check("capture.one_mark_each", area="R", number=14, needs=NEEDS)
async def one_mark_each(env: Env) -> None:
    """Contract: an entity has one mark for each sink, with its newest version; the lowest version comes
    first; a mark is cleared only at the version given; a sink that ends, and begins again, has none."""
    await sinks(port(env), PEER, OTHER)
    last = 0
    for key in ("a", "b", "a"):
        last = await env.store.records.put("c", key, 1)
    a, b = RecordRef("c", "a"), RecordRef("c", "b")
    marks = await port(env).marks(PEER, 10)
    assert [mark.ref for mark in marks] == [b, a]
    assert marks[1] == Mark(PEER, a, last)
    assert await port(env).marks(PEER, 1) == marks[:1]
    assert await port(env).clear(PEER, [replace(mark, version=mark.version - 1) for mark in marks]) == 0
    newer = await env.store.records.put("c", "a", 2)
    assert await port(env).clear(PEER, marks) == 1
    assert await port(env).marks(PEER, 10) == [Mark(PEER, a, newer)]
    assert [mark.ref for mark in await port(env).marks(OTHER, 10)] == [b, a]
    await sinks(port(env), OTHER)
    await env.store.records.put("c", "b", 2)
    assert await port(env).marks(PEER, 10) == []
    await sinks(port(env), OTHER, PEER)
    assert await port(env).marks(PEER, 10) == []
    assert len(await port(env).marks(OTHER, 10)) == 2


@check("capture.deleted_is_remembered", area="R", number=15, needs=NEEDS)
async def deleted_is_remembered(env: Env) -> None:
    """Contract: no tombstone is swept while the peer's sink is active, or another sink has a mark of it."""
    ref = RecordRef("c", "k")
    await sinks(port(env), PEER, OTHER)
    await env.store.records.put("c", "k", 1)
    await env.store.records.delete("c", "k")
    await port(env).clear(PEER, await port(env).marks(PEER, 10))
    tombstone = await port(env).images([ref])
    for names in ((PEER, OTHER), (OTHER,)):
        await sinks(port(env), *names)
        await env.until(await env.now() + 1)
        await env.driver.sweep(100, SWEEP)
        assert await port(env).images([ref]) == tombstone
    for sink in (OTHER, CACHE):  # a store with a cache has that sink too
        await port(env).clear(sink, await port(env).marks(sink, 10))
    await env.driver.sweep(100, SWEEP)
    assert await port(env).images([ref]) == [None]


@check("capture.cache_is_told_of_records", area="R", number=14, needs=TASKS)
async def cache_is_told_of_records(env: Env) -> None:
    """Contract: the sink `cache` has marks of records only, and nothing is remembered as gone for its
    sake."""
    await sinks(port(env), CACHE)
    async with env.store.atomic(commit_id="job") as unit:
        unit.records.put("c", "k", 1)
        unit.tasks.enqueue("q", 1, id="t")
    await env.store.tasks.cancel("t")
    marks = await port(env).marks(CACHE, 100)
    assert {type(mark.ref) for mark in marks} <= {RecordRef}
    await env.until(await env.now() + 1)
    await env.driver.sweep(100, SWEEP)
    assert await port(env).images([TaskRef("t"), CommitRef("job")]) == [None, None]


@check("capture.settled_by_trip", area="R", number=14, needs=NEEDS)
async def settled_by_trip(env: Env) -> None:
    """Contract: who settles the version of a trip takes away all marks that the trip left for the cache, and
    none that another trip left."""
    ours = port(env)
    if not isinstance(ours, Settling):
        raise NotRun("the driver does not offer to settle trips", physics=True)
    await sinks(ours, CACHE, PEER)

    async def written(*keys: str) -> list[int]:
        reply = await env.trip(*[Batch((Put(RecordRef("c", key), b"1"),)) for key in keys])
        return [outcome.version for outcome in reply.results if isinstance(outcome, Committed)]

    async def left(sink: str) -> set[str]:
        return {mark.ref.key for mark in await ours.marks(sink, 100) if isinstance(mark.ref, RecordRef)}

    before, trip, again = await written("c", "d"), await written("a", "b", "d"), await written("b")
    await ours.settle(trip)
    assert {"b", "c"} <= await left(CACHE) <= {"b", "c", "d"}
    await ours.settle([*again, *before])
    assert await left(CACHE) == set()
    assert await left(PEER) == {"a", "b", "c", "d"}


@check("capture.gone_is_remembered", area="R", number=15, needs=TASKS)
async def gone_is_remembered(env: Env) -> None:
    """Contract: what a sweep removes leaves a Gone of a higher version, as long as the peer's sink is active;
    an entity of that name that is made anew takes its place."""
    refs: list[EntityRef] = [TaskRef("t"), CommitRef("job")]
    await sinks(port(env), PEER)
    async with env.store.atomic(commit_id="job") as unit:
        unit.tasks.enqueue("q", 1, id="t")
    await env.store.tasks.cancel("t")
    before = [image.version for image in await port(env).images(refs) if image]
    await env.until(await env.now() + 1)
    assert await changed_by(env, lambda: env.driver.sweep(100, SWEEP)) == set(refs)
    gone = await port(env).images(refs)
    assert [type(image) for image in gone] == [Gone, Gone]
    assert all(image.version > old for image, old in zip(gone, before, strict=True) if image)
    await env.driver.sweep(100, SWEEP)
    assert await port(env).images(refs) == gone
    await env.store.tasks.enqueue("q", 2, id="t")
    (task,) = await port(env).images([TaskRef("t")])
    assert task is not None
    assert not isinstance(task, Gone)
    await sinks(port(env))
    await env.driver.sweep(100, SWEEP)
    assert await port(env).images([CommitRef("job")]) == [None]


@check("capture.followed_store_is_equal", area="R", number=16, needs=TASKS)
async def followed_store_is_equal(env: Env) -> None:
    """Contract: a standby that is sent what is marked, and nothing else, ends equal in all it exports."""
    target = (await standby(env)).replication()
    await sinks(port(env), PEER)
    for _ in range(3):
        await live(env)
        await pump(port(env), target, limit=7)
    await live(env)
    await hand_over(port(env), target)
    source = await everything(port(env))
    assert await everything(target) == source
    assert sum(map(len, source.values())) > 30
