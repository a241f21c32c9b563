"""Area R, continued: images as rows, for drivers that offer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.checking import NotRun, check
from hive_state_conformance.env import Env, raises
from hive_state_conformance.life import live
from hive_state_conformance.transfer import (
    NEEDS,
    STREAMS,
    TASKS,
    everything,
    images_of,
    port,
    standby,
    turn,
)
from hive_state_core.errors import Conflict, Sealed
from hive_state_core.image_rows import KEYS, image_of, row_key, row_of
from hive_state_core.images import key_of
from hive_state_core.model import Gone, Image, RecordImage, StreamRef, TaskRef
from hive_state_core.spi import ControlState, ImageRow, Kind, Pouring, Replication, Span

HOSTILE = "a \"\\\n\t\r'{},\\N\\.\u00e9\U0001f41d"
"""Means something to one text format or another."""


def pouring(replication: Replication) -> Pouring:
    """Raises NotRun if the driver does not offer it."""
    if not isinstance(replication, Pouring):
        raise NotRun("the driver does not offer images as rows", physics=True)
    return replication


async def hostile(env: Env) -> None:
    """A busy hour, and what is easily spoiled on its way."""
    await live(env)
    await env.store.records.put(HOSTILE, HOSTILE, HOSTILE, index={"f": [HOSTILE, -0.0, 2**63 - 1]})
    await env.store.records.put("c", "bytes", bytes(range(256)))
    await env.store.records.put("c", "text", "\0\ud7ff")
    tasks = env.store.tasks
    await tasks.enqueue(HOSTILE, HOSTILE, id=HOSTILE, requires=[HOSTILE, "é"], dedupe_key=HOSTILE)
    (lease,) = await tasks.claim(HOSTILE, worker=HOSTILE, lease=3600, capabilities=[HOSTILE, "é"])
    await tasks.enqueue("q", 1, id="child", depends_on=[lease.id])
    await tasks.fail(lease, HOSTILE)


@check("rows.as_exported", area="R", number=30, needs=TASKS)
async def as_exported(env: Env) -> None:
    """Contract: the rows of a span are those of the images that are exported, whole and once, however small
    the pages are."""
    ours = pouring(port(env))
    await hostile(env)
    for kind in KEYS:
        images = await images_of(port(env), kind)
        assert len(images) > 2
        span, found = Span(kind=kind, limit=2), list[ImageRow]()
        while rows := await ours.rows(span):
            found += rows
            span = replace(span, after=row_key(kind, rows[-1]))
        assert [image_of(kind, row) for row in found] == images
        bounds = {"after": key_of(images[0]), "stop": key_of(images[-1]), "below": images[1].version}
        within = Span(kind=kind, **bounds)  # type: ignore[arg-type]
        expected = list(await port(env).export(within))
        assert [image_of(kind, row) for row in await ours.rows(within)] == expected


@check("rows.poured_as_loaded", area="R", number=30, needs=TASKS)
async def poured_as_loaded(env: Env) -> None:
    """Contract: rows that are poured into an empty standby, beside what is there, over what is older or under
    what is newer, are there afterwards as if their images had been loaded."""
    pouring(port(env))
    await hostile(env)
    before = await everything(port(env))
    await live(env)
    await env.store.records.put("c", "same", "newer")
    after = await everything(port(env))
    for n, order in enumerate(((after,), (before, after, after), (after, before))):
        loaded = (await standby(env, f"-loaded-{n}")).replication()
        poured = (await standby(env, f"-poured-{n}")).replication()
        for images in order:
            for kind in KEYS:
                assert await _pour(poured, kind, images[kind]) == await loaded.load(images[kind])
        assert await everything(poured) == await everything(loaded)
        assert (await poured.control()).version == (await loaded.control()).version
        assert await poured.notes() == {"cursor": b"event"}


async def _pour(target: Replication, kind: Kind, images: Sequence[Image]) -> int:
    return await pouring(target).pour(kind, list(map(row_of, images)), {"cursor": kind.encode()})


@check("rows.poured_beside_gones", area="R", number=30, needs=STREAMS | TASKS)
async def poured_beside_gones(env: Env) -> None:
    """Contract: what is poured undoes no Gone of a higher version, and brings back no event that its stream
    has trimmed."""
    pouring(port(env))
    await env.store.events.publish_many("s", ["a", "b", "c"])
    events = await images_of(port(env), "event")
    await env.store.events.trim("s", first=3)
    (stream,) = await port(env).images([StreamRef("s")])
    await env.store.tasks.enqueue("q", 1, id="t")
    tasks = await images_of(port(env), "task")
    gone = Gone(TaskRef("t"), tasks[0].version + 1)
    target = (await standby(env)).replication()
    await target.load([gone, cast(Image, stream)])
    assert await _pour(target, "task", tasks) == 0
    assert await _pour(target, "event", events) == 1
    assert await target.images([gone.ref]) == [gone]
    assert await images_of(target, "event") == events[2:]


@check("rows.poured_children_go_on", area="R", number=30, needs=TASKS)
async def poured_children_go_on(env: Env) -> None:
    """Contract: after tasks were poured, a child is released by its parent, a dedupe key is held, a record is
    found by its index, and instants, orders and versions go on above what came."""
    pouring(port(env))
    await env.store.records.put("c", "k", 1, index={"f": "x"})
    await env.store.tasks.enqueue("q", 1, id="parent", dedupe_key="d")
    await env.store.tasks.enqueue("q", 1, id="child", depends_on=["parent"])
    target = await standby(env)
    there = target.replication()
    records = [
        replace(cast(RecordImage, image), updated_at=await env.now() + 3_600_000)
        for image in await images_of(port(env), "record")
    ]
    await _pour(there, "record", records)
    await _pour(there, "task", await images_of(port(env), "task"))
    await turn(there, ControlState.OPEN, (await port(env).control()).term + 1)
    assert [record.key async for record in target.records.list("c", where={"f": "x"})] == ["k"]
    assert (await target.tasks.enqueue("q", 1, id="new", dedupe_key="d")).id == "parent"
    await target.tasks.enqueue("q", 1, id="later")
    (lease,) = await target.tasks.claim("q", worker="w")
    assert lease.id == "parent"
    await target.tasks.complete(lease)
    assert {each.id for each in await target.tasks.claim("q", worker="w", limit=9)} == {"child", "later"}
    await target.records.put("c", "l", 1)
    (*_, later) = await images_of(there, "record")
    assert isinstance(later, RecordImage)
    assert later.updated_at >= records[0].updated_at
    assert later.version > max(record.version for record in records)


@check("rows.poured_only_where_allowed", area="R", number=30, needs=NEEDS)
async def poured_only_where_allowed(env: Env) -> None:
    """Contract: rows above term 0 are refused by an open store, all rows by a sealed one, and by one whose
    control row is not as expected; nothing of them is written then, no note either."""
    ours = pouring(port(env))
    await env.store.records.put("c", "k", 1)
    (image,) = await images_of(port(env), "record")
    newer = row_of(replace(cast(RecordImage, image), version=image.version + 1))
    await raises(Conflict, ours.pour("record", [newer], {"cursor": b"1"}))
    target = (await standby(env)).replication()
    old = replace(await target.control(), epoch=0)
    await raises(Conflict, pouring(target).pour("record", [newer], {"cursor": b"1"}, old))
    assert (await images_of(target, "record"), await target.notes()) == ([], {})
    await turn(port(env), ControlState.SEALED)
    await raises(Sealed, ours.pour("record", [newer], {"cursor": b"1"}))
    assert await images_of(port(env), "record") == [image]
    assert await port(env).notes() == {}
