"""Area R, continued: a hive that was moved goes on where it was."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.checking import NotRun, check
from hive_state_conformance.env import Env, raises
from hive_state_conformance.harness import driver_of
from hive_state_conformance.life import live
from hive_state_conformance.transfer import (
    NEEDS,
    STREAMS,
    TASKS,
    copy,
    everything,
    images_of,
    moved,
    port,
    sinks,
    standby,
    turn,
)
from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Facility
from hive_state_core.following import current
from hive_state_core.model import GroupRef, RecordImage, RecordRef, StreamRef, TaskImage, TaskRef, TaskState
from hive_state_core.spi import (
    PEER,
    Ack,
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    Committed,
    Complete,
    ControlState,
    CreateGroup,
    Enqueue,
    Enqueued,
    Outcome,
    Put,
    Refused,
    Warming,
)
from hive_state_core.store import Store

GROUP = GroupRef("s", "g")


async def commit_on(store: Store, batch: Batch) -> Outcome:
    """One batch in a trip of its own."""
    (outcome,) = (await driver_of(store).commit([batch], uuid4().hex)).results
    return outcome


@check("moved.versions_go_on", area="R", number=31, needs=NEEDS)
async def versions_go_on(env: Env) -> None:
    """Contract: a moved record keeps its version, and the next write on the other side has a higher one, of
    the new term."""
    version = await env.store.records.put("c", "k", 1)
    target = await moved(env)
    record = await target.records.get("c", "k")
    assert record is not None
    assert record.version == version
    row = await target.replication().control()
    assert row.version >= version
    later = await target.records.put("c", "k", 2, if_version=version)
    assert later > row.version
    assert later >> 43 == row.term


@check("moved.opens_above_all_terms", area="R", number=31, needs=NEEDS)
async def opens_above_all_terms(env: Env) -> None:
    """Contract: a standby opens only with a term above that of every image in it."""
    await env.store.records.put("c", "k", 1)
    (image,) = await images_of(port(env), "record")
    target = (await standby(env)).replication()
    await target.load([replace(cast(RecordImage, image), version=(1010 << 43) + 3)])
    assert (await target.control()).version == (1010 << 43) + 3
    await raises(InvalidArgument, turn(target, ControlState.OPEN, 1010))
    assert (await turn(target, ControlState.OPEN, 1011)).state is ControlState.OPEN


@check("moved.instants_go_on", area="R", number=32, needs=NEEDS)
async def instants_go_on(env: Env) -> None:
    """Contract: no instant of the new store is earlier than one that was loaded, whatever its clock says."""
    await env.store.records.put("c", "k", 1)
    (image,) = await images_of(port(env), "record")
    target = await standby(env)
    ahead = await env.now() + 3_600_000
    await target.replication().load([replace(cast(RecordImage, image), updated_at=ahead)])
    await turn(target.replication(), ControlState.OPEN, (await port(env).control()).term + 1)
    assert (await driver_of(target).read([RecordRef("c", "k")])).at >= ahead
    written = await commit_on(target, Batch((Put(RecordRef("c", "l"), b"1"),)))
    assert isinstance(written, Committed)
    assert written.at >= ahead


@check("moved.tasks_go_on", area="R", number=33, needs=TASKS)
async def tasks_go_on(env: Env) -> None:
    """Contract: a task that is leased at the move is completed on the other side under its old token, once;
    delays, paused queues, requirements and dedupe keys hold there too."""
    tasks = env.store.tasks
    await tasks.enqueue("q", 1, id="t")
    (lease,) = await tasks.claim("q", worker="w", lease=3600)
    await tasks.enqueue("q", 1, id="later", delay=3600)
    await tasks.enqueue("p", 1, id="paused", dedupe_key="d")
    await tasks.pause("p")
    target = await moved(env)
    assert await target.tasks.claim("q", worker="v") == []
    assert await target.tasks.claim("p", worker="v") == []
    task = await target.tasks.get("t")
    assert task is not None
    assert (task.state, task.worker, task.attempt) == (TaskState.LEASED, "w", 1)
    done = Batch((Complete(TaskRef("t"), lease.token),))
    assert isinstance(await commit_on(target, done), Committed)
    assert isinstance(await commit_on(target, done), Refused)
    assert (await target.tasks.enqueue("p", 2, id="other", dedupe_key="d")).id == "paused"
    await target.tasks.resume("p")
    assert [each.id for each in await target.tasks.claim("p", worker="v")] == ["paused"]


@check("moved.order_goes_on", area="R", number=34, needs=TASKS)
async def order_goes_on(env: Env) -> None:
    """Contract: tasks keep their order, and what is enqueued on the other side comes behind them."""
    for n in range(3):
        await env.commit(Batch((Enqueue(TaskRef(f"{9 - n}"), "q", b"1"),)))
    images = [cast(TaskImage, image) for image in await images_of(port(env), "task")]
    same_time = [replace(image, due_at=images[0].due_at, order=image.order + 10**9) for image in images]
    target = await standby(env)
    await target.replication().load(same_time)
    await turn(target.replication(), ControlState.OPEN, (await port(env).control()).term + 1)
    await commit_on(target, Batch((Enqueue(TaskRef("0"), "q", b"1"),)))
    new = await target.replication().images([TaskRef("0")])
    assert cast(TaskImage, new[0]).order > max(image.order for image in same_time)
    claimed = await target.tasks.claim("q", worker="w", limit=10)
    assert [each.id for each in claimed] == ["9", "8", "7", "0"]


@check("moved.children_go_on", area="R", number=35, needs=TASKS | {Facility.DEPENDENCIES})
async def children_go_on(env: Env) -> None:
    """Contract: a waiting child is released on the other side by the last of its parents, whatever the order
    in which they were loaded; loading releases none."""
    for id, parents in (("a", []), ("b", []), ("child", ["a", "b"])):
        await env.store.tasks.enqueue("q", 1, id=id, depends_on=parents)
    (first,) = await env.claim_some("q", limit=1)
    await env.commit(Batch((Complete(first.ref, first.token),)))
    images = await images_of(port(env), "task")
    for n, order in enumerate((images, images[::-1])):
        target = await standby(env, f"-{n}")
        for image in order:
            await target.replication().load([image])
        assert await images_of(target.replication(), "task") == images
        await turn(target.replication(), ControlState.OPEN, (await port(env).control()).term + 1)
        (second,) = await target.tasks.claim("q", worker="w", limit=10)
        assert second.id == "b"
        await target.tasks.complete(second)
        assert [each.id for each in await target.tasks.claim("q", worker="w")] == ["child"]


@check("moved.dedupe_settles", area="R", number=36, needs=TASKS)
async def dedupe_settles(env: Env) -> None:
    """Contract: a dedupe key that went from one task to another is held by the right one, whatever the order
    in which they were loaded."""
    await env.store.tasks.enqueue("q", 1, id="a", dedupe_key="d")
    (alive,) = await images_of(port(env), "task")
    await env.store.tasks.cancel("a")
    await env.store.tasks.enqueue("q", 1, id="b", dedupe_key="d")
    final = (cancelled, holder) = await images_of(port(env), "task")
    for n, order in enumerate(
        ([alive, holder, cancelled], [holder, alive, cancelled], [cancelled, alive, holder])
    ):
        target = await standby(env, f"-{n}")
        for image in order:
            await target.replication().load([image])
        assert await images_of(target.replication(), "task") == list(final)
        await turn(target.replication(), ControlState.OPEN, (await port(env).control()).term + 1)
        clash = await commit_on(target, Batch((Enqueue(TaskRef("c"), "q", b"1", dedupe_key="d"),)))
        assert isinstance(clash, Committed)
        assert clash.results == (Enqueued("b", created=False),)


@check("moved.groups_go_on", area="R", number=37, needs=STREAMS)
async def groups_go_on(env: Env) -> None:
    """Contract: streams go on with the next number, groups at their position; what a consumer has out is
    acked under its old token, and dead deliveries stay dead."""
    await env.store.events.publish_many("s", ["a", "b", "c", "d"])
    await env.trip(Batch((CreateGroup(GROUP, 0, 5),)))
    claimed = await env.store.events.claim("s", "g", consumer="w", limit=3, lease=3600)
    await env.store.events.nack(claimed[2], error="no", retry_in=None)
    target = await moved(env)
    appended = await commit_on(target, Batch((Append(StreamRef("s"), b"5"),)))
    assert isinstance(appended, Committed)
    assert appended.results == (5,)
    reply = await driver_of(target).claim([ClaimEvents(GROUP, "v", 1000, 10)], uuid4().hex)
    assert [each.event.seq for each in cast(ClaimedEvents, reply.results[0]).deliveries] == [4, 5]
    acks = Batch((Ack(GROUP, tuple((each.seq, each.token) for each in claimed[:2])),))
    assert isinstance(await commit_on(target, acks), Committed)
    assert isinstance(await commit_on(target, acks), Refused)
    assert isinstance(await commit_on(target, Batch((Ack(GROUP, ((3, 0),)),))), Committed)


@check("moved.commit_ids_go_on", area="R", number=38, needs=NEEDS)
async def commit_ids_go_on(env: Env) -> None:
    """Contract: a commit that was made before the move is not made again on the other side, and gives the
    answer of the first time."""
    batch = Batch((Put(RecordRef("c", "k"), b"1"),), commit_id="job", fingerprint=b"f")
    first = await env.commit(batch)
    await env.store.records.put("c", "k", 2)
    target = await moved(env)
    assert await commit_on(target, batch) == first
    record = await target.records.get("c", "k")
    assert record is not None
    assert record.value == 2


@check("moved.ttl_goes_on", area="R", number=39, needs=NEEDS)
async def ttl_goes_on(env: Env) -> None:
    """Contract: a record expires on the other side at the same instant, and its index finds it until then."""
    await env.store.records.put("c", "short", 1, ttl=0.3, index={"f": "x"})
    await env.store.records.put("c", "long", 1, ttl=3600, index={"f": "x"})
    source = await env.record("c", "long")
    target = await moved(env)
    (image,) = (await driver_of(target).read([RecordRef("c", "long")])).results
    assert image == source
    await env.until(cast(RecordImage, (await port(env).images([RecordRef("c", "short")]))[0]).expires_at or 0)
    found = [record.key async for record in target.records.list("c", where={"f": "x"})]
    assert found == ["long"]


@check("moved.warmed", area="R", number=40, needs=NEEDS)
async def warmed(env: Env) -> None:
    """Contract: a store that is made ready for a hive to come, a standby or one that is at work, is as it was
    before; who is at work goes on meanwhile."""
    await live(env)
    await sinks(port(env), PEER)
    target = await standby(env)
    await copy(port(env), target.replication())
    for store in (env.store, target):
        driver = current(driver_of(store))
        if not isinstance(driver, Warming):
            raise NotRun("the driver has nothing to make ready", physics=True)
        before = await _state(store)
        await driver.warm()
        await driver.warm()
        assert await _state(store) == before
    await env.store.records.put("c", "k", 1)


async def _state(store: Store) -> object:
    """All of it, but for the next version: there may be gaps."""
    port = store.replication()
    row = replace(await port.control(), version=0)
    return await everything(port), await port.notes(), await port.marks(PEER, 1000), row
