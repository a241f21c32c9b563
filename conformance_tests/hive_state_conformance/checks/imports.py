"""Area R, continued: an import, which fills a store in use from outside."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_conformance.transfer import images_of
from hive_state_core.errors import Conflict
from hive_state_core.features import Facility
from hive_state_core.model import (
    EventImage,
    Image,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import Batch, Complete


@check("import.fills", area="R", number=40, needs={Facility.IMPORT})
async def fills(env: Env) -> None:
    """Contract: images of term 0 are loaded exactly, if they are newer than what is there; what a trip of the
    store wrote or deleted is newer than any. An image above term 0 is refused, with all that is beside it."""
    port, records = env.store.loading(), env.store.records
    await records.put("c", "there", 1, index={"f": "x"})
    await records.put("c", "deleted", 1)
    await records.delete("c", "deleted")
    (gone, there) = before = await images_of(port, "record")
    assert isinstance(there, RecordImage)

    def imported(key: str, version: int) -> RecordImage:
        ref, at = RecordRef("c", key), there.created_at - 1000
        return replace(there, ref=ref, version=version, created_version=1, created_at=at, updated_at=at + 1)

    first, later = imported("new", 7), imported("new", 8)
    assert await port.load([imported("there", 7), imported("deleted", 7), first]) == 1
    assert await port.load([first]) == 0
    assert await port.load([later]) == 1
    assert await port.load([first]) == 0
    assert await images_of(port, "record") == [gone, later, there]
    assert await port.images([RecordRef("c", key) for key in ("new", "deleted", "never")]) == [
        later,
        gone,
        None,
    ]
    assert [record.key async for record in records.list("c", where={"f": "x"})] == ["new", "there"]
    await raises(Conflict, port.load([imported("other", 7), replace(there, version=there.version + 1)]))
    assert await images_of(port, "record") == [before[0], later, there]
    assert await records.put("c", "new", 2) > there.version


@check("import.fills_queues", area="R", number=40, needs={Facility.IMPORT, Facility.TASKS})
async def fills_queues(env: Env) -> None:
    """Contract: an imported task is what its image says, and is worked at like any other: a ready one is
    claimed, a leased one completed under its token, or claimed again once its lease is over."""
    port, tasks = env.store.loading(), env.store.tasks
    await tasks.enqueue("q", {"n": 1}, id="own")
    (lease,) = await tasks.claim("q", worker="w", lease=3600)
    (own,) = await images_of(port, "task")
    assert isinstance(own, TaskImage)
    held = replace(own, ref=TaskRef("held"), version=9, token=9, priority=1)
    lost = replace(held, ref=TaskRef("lost"), lease_until=own.created_at - 1, worker="late")
    (ready,) = [replace(held, ref=TaskRef("ready"), token=0, lease_until=None, worker=None, attempt=0)]
    ready = replace(ready, state=TaskState.READY)
    images = [held, lost, ready]
    assert await port.load([*images, replace(own, version=9, priority=1)]) == 3
    assert await images_of(port, "task") == [held, lost, own, ready]
    assert await port.images([TaskRef("held"), TaskRef("never")]) == [held, None]
    await env.commit(Batch((Complete(TaskRef("held"), 9),)))
    found = [*await tasks.claim("q", worker="w", limit=10), *await tasks.claim("q", worker="w", limit=10)]
    assert sorted(each.id for each in found) == ["lost", "ready"]
    assert await port.load(images) == 0
    await tasks.complete(lease)


@check("import.leaves_the_clock", area="R", number=41, needs={Facility.IMPORT})
async def leaves_the_clock(env: Env) -> None:
    """Contract: an image of term 0 that says to be of the future does not take the clock of an open store
    there, or nothing would expire in it until then."""
    await env.store.records.put("c", "k", 1)
    (image,) = await images_of(env.store.loading(), "record")
    ahead = await env.now() + 3_600_000
    future = replace(
        cast(RecordImage, image), ref=RecordRef("c", "future"), version=7, created_at=ahead, updated_at=ahead
    )
    assert await env.store.loading().load([future]) == 1
    await env.store.records.put("c", "k", 2)
    assert await env.now() < ahead
    written = await env.record("c", "k")
    assert written is not None
    assert written.updated_at < ahead


@check("import.leaves_streams", area="R", number=42, needs={Facility.IMPORT, Facility.STREAMS})
async def leaves_streams(env: Env) -> None:
    """Contract: events of term 0 fill a stream that an open store does not have, or has by an import; to one
    that the store itself has written to none is added, and its numbers go on."""
    await env.store.events.publish_many("own", ["a", "b"])
    (first, *_) = await images_of(env.store.loading(), "event")
    (head,) = await images_of(env.store.loading(), "stream")
    assert isinstance(first, EventImage)
    assert isinstance(head, StreamImage)

    def imported(stream: str, *seqs: int) -> list[Image]:
        events = [replace(first, stream=stream, seq=seq, version=seq) for seq in seqs]
        return [*events, replace(head, ref=StreamRef(stream), version=seqs[-1], first=1, last=seqs[-1])]

    assert await env.store.loading().load(imported("own", 1, 2, 3)) == 0
    assert await env.store.events.publish("own", "c") == 3
    assert await env.store.loading().load(imported("new", 1, 2)) == 3
    assert await env.store.loading().load(imported("new", 1, 2, 3)) == 2
    assert await env.store.events.publish("new", "c") == 4
    assert await env.store.loading().load(imported("new", 5)) == 0
    assert await env.store.events.publish("new", "d") == 5
    assert len(await env.store.events.read("new")) == 5
