"""Area R, continued: images on their way out of a store, and into another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, cast

from msgspec.structs import replace

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
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
    standby,
    turn,
)
from hive_state_core.errors import Conflict, Sealed
from hive_state_core.images import digest_of, key_of, kind_of, sort_key
from hive_state_core.model import (
    EntityRef,
    Gone,
    Image,
    RecordImage,
    RecordRef,
    StreamRef,
    TaskImage,
    TaskRef,
)
from hive_state_core.spi import ControlState, Digest, Span


@check("images.tell_all", area="R", number=21, needs=NEEDS)
async def tell_all(env: Env) -> None:
    """Contract: images are given in the order asked, as they are stored: tombstones, expired records, and
    None for what never was."""
    records = env.store.records
    await records.put("c", "deleted", 1)
    await records.delete("c", "deleted")
    await records.put("c", "expired", b"x", ttl=0.001, index={"f": [1, 1.5, "1", None, True]})
    await records.put("c", "there", {"n": 1})
    names = ("there", "never", "expired", "deleted", "there")
    there, never, expired, deleted, again = await port(env).images([RecordRef("c", name) for name in names])
    assert there == again == await env.record("c", "there")
    assert never is None
    assert isinstance(expired, RecordImage)
    assert (expired.value, expired.raw, len(expired.index)) == (b"x", True, 5)
    assert expired.expires_at is not None
    assert isinstance(deleted, RecordImage)
    assert (deleted.value, deleted.index, deleted.expires_at) == (None, (), None)
    assert there is not None
    assert deleted.version < expired.version < there.version
    assert await images_of(port(env), "record") == [deleted, expired, there]


@check("images.of_every_kind", area="R", number=21, needs=TASKS)
async def of_every_kind(env: Env) -> None:
    """Contract: what is exported is what `images` and `read` give, in key order, whole and once, however
    small the pages are."""
    await live(env)
    await live(env)
    for kind, images in (await everything(port(env))).items():
        keys = [sort_key(key_of(image)) for image in images]
        assert keys == sorted(set(keys)), f"{kind}: not in key order"
        assert await images_of(port(env), kind, page=2) == images
        if kind != "event":
            refs = cast("list[EntityRef]", [image.ref for image in cast("list[Any]", images)])
            assert await port(env).images(refs) == images


@check("images.spans", area="R", number=22, needs=NEEDS)
async def spans(env: Env) -> None:
    """Contract: a span is all that lies after one key and before another, part by part in byte order, below
    a version if one is given."""
    keys = [("a", "z"), ("a", "é"), ("a!", "a"), ("b", "a"), ("b", "b")]
    for collection, key in keys:
        await env.store.records.put(collection, key, 1)

    async def exported(**bounds: Any) -> list[tuple[str | int, ...]]:
        return [key_of(image) for image in await port(env).export(Span(kind="record", **bounds))]

    assert await exported() == keys
    assert await exported(after=("a", "z")) == keys[1:]
    assert await exported(after=("a", "zz"), stop=("b", "a")) == keys[1:3]
    assert await exported(stop=("b", "b"), limit=2) == keys[:2]
    assert await exported(after=("b", "a"), stop=("b", "a")) == []
    images = await port(env).export(Span(kind="record"))
    assert await exported(below=images[2].version) == keys[:2]
    digest = await port(env).digest(Span(kind="record", after=("a", "z"), stop=("b", "b"), limit=1))
    assert digest == digest_of(images[1:4])
    assert (await port(env).digest(Span(kind="record", below=images[3].version))).count == 3


@check("images.digest_sees_all", area="R", number=23, needs=TASKS)
async def digest_sees_all(env: Env) -> None:
    """Contract: a digest is that of the exported images, and differs if any field of any of them does."""
    await env.store.records.put("c", "k", {"n": 1}, index={"f": 1}, ttl=3600)
    await env.store.tasks.enqueue("q", 1, id="t", dedupe_key="d", requires=["skill"])
    await env.store.tasks.claim("q", worker="w", lease=3600, capabilities=["skill"])
    (record,) = await images_of(port(env), "record")
    (task,) = await images_of(port(env), "task")
    assert isinstance(record, RecordImage)
    assert isinstance(task, TaskImage)
    variants: list[Image] = [record, task]
    variants += [replace(record, **{name: value}) for name, value in _other_record(record).items()]
    variants += [replace(task, **{name: value}) for name, value in _other_task(task).items()]
    digests: list[Digest] = []
    for n, image in enumerate(variants):
        store = await standby(env, f"-{n}")
        target = store.replication()
        assert await target.load([image]) == 1
        digests.append(await target.digest(Span(kind=kind_of(image))))
        assert digests[-1] == digest_of([image]), f"{image}"
        await store.close()
    assert len({(digest.count, digest.sum) for digest in digests}) == len(variants)


def _other_record(record: RecordImage) -> dict[str, Any]:
    later = (record.expires_at or 0) + 1
    return {"value": b'{"n":2}', "raw": True, "index": (("f", 2),), "expires_at": later, "created_at": 1}


def _other_task(task: TaskImage) -> dict[str, Any]:
    return {
        "payload": b"2",
        "token": task.token + 1,
        "lease_until": (task.lease_until or 0) + 1,
        "worker": "v",
        "attempt": 2,
        "due_at": task.due_at + 1,
        "dedupe_key": None,
        "requires": (),
        "error": "e",
        "result": b"1",
    }


@check("images.loaded_if_newer", area="R", number=24, needs=NEEDS)
async def loaded_if_newer(env: Env) -> None:
    """Contract: an image is loaded if its version is higher than that of what is there, so that any order
    of loading, with repetitions, ends in the newest; a tombstone is not undone by what is older."""
    history = []
    for write in ("put", "delete", "put", "touch"):
        await _write(env, write)
        history += await images_of(port(env), "record")
    for n, order in enumerate(permutations(history)):
        store = await standby(env, f"-{n}")
        target = store.replication()
        for image in order:
            newest = max([0, *[each.version for each in await images_of(target, "record")]])
            assert await target.load([image]) == (image.version > newest)
            assert await target.load([image]) == 0
        assert await images_of(target, "record") == history[-1:]
        await store.close()
    together = (await standby(env, "-together")).replication()
    await together.load([history[1], history[0]])
    assert await images_of(together, "record") == [history[1]]


async def _write(env: Env, verb: str) -> None:
    records = env.store.records
    if verb == "put":
        await records.put("c", "k", {"n": 1}, index={"f": 1})
    elif verb == "delete":
        await records.delete("c", "k")
    else:
        await records.touch("c", "k", ttl=3600)


@check("images.gone_is_not_undone", area="R", number=25, needs=TASKS)
async def gone_is_not_undone(env: Env) -> None:
    """Contract: a Gone removes what is older, stays where nothing was, and is not undone by what is older."""
    await env.store.tasks.enqueue("q", 1, id="t", dedupe_key="d")
    (task,) = await images_of(port(env), "task")
    gone = Gone(TaskRef("t"), task.version + 5)
    orders: tuple[Sequence[Image], ...] = ((task, gone), (gone, task), (gone, gone), (gone, task, task))
    for n, order in enumerate(orders):
        target = (await standby(env, f"-{n}")).replication()
        for image in order:
            await target.load([image])
        assert await target.images([gone.ref]) == [gone]
        assert await images_of(target, "task") == []
        anew = replace(cast(TaskImage, task), version=gone.version + 1)
        assert await target.load([anew]) == 1
        assert await target.images([gone.ref]) == [anew]


@check("images.loaded_exactly", area="R", number=26, needs=TASKS)
async def loaded_exactly(env: Env) -> None:
    """Contract: a copy by the port has exactly the images of its source, and the same digests; loading it
    once more writes nothing."""
    await live(env)
    await live(env)
    target = (await standby(env)).replication()
    await copy(port(env), target)
    source = await everything(port(env))
    assert await everything(target) == source
    for kind, images in source.items():
        digest = await port(env).digest(Span(kind=kind))
        assert await target.digest(Span(kind=kind)) == digest == digest_of(images)
        assert await target.load(images) == 0


@check("images.loaded_events", area="R", number=27, needs=STREAMS)
async def loaded_events(env: Env) -> None:
    """Contract: events that a stream has trimmed are not loaded again, and loading the stream trims."""
    events = env.store.events
    await events.publish_many("s", ["a", "b", "c"])
    images = await images_of(port(env), "event")
    (before,) = await port(env).images([StreamRef("s")])
    await events.trim("s", first=3)
    (after,) = await port(env).images([StreamRef("s")])
    assert before is not None
    assert after is not None
    for n, order in enumerate(([*images, before, after], [after, *images, before], [images[0], after])):
        target = (await standby(env, f"-{n}")).replication()
        await target.load(order)
        await target.load(images)
        assert await images_of(target, "event") == images[2:]
        assert await images_of(target, "stream") == [after]


@check("images.loaded_only_where_allowed", area="R", number=28, needs=NEEDS)
async def loaded_only_where_allowed(env: Env) -> None:
    """Contract: an open store takes images of term 0 only, which fill what is absent and undo no delete; a
    sealed one takes none; one that was moved takes all."""
    await env.store.records.put("c", "there", 1)
    await env.store.records.put("c", "deleted", 1)
    await env.store.records.delete("c", "deleted")
    (_, there) = before = await images_of(port(env), "record")
    imported = [
        replace(cast(RecordImage, there), ref=RecordRef("c", key), version=7, created_version=7, value=b"0")
        for key in ("there", "deleted", "new")
    ]
    assert await port(env).load(imported) == 1
    assert await images_of(port(env), "record") == [before[0], imported[2], there]
    newer = replace(cast(RecordImage, there), version=there.version + 1)
    await raises(Conflict, port(env).load([newer], {"cursor": b"1"}))
    await turn(port(env), ControlState.SEALED)
    await raises(Sealed, port(env).load(imported, {"cursor": b"1"}))
    assert await port(env).notes() == {}
    assert await images_of(port(env), "record") == [before[0], imported[2], there]


@check("images.loaded_only_as_expected", area="R", number=28, needs=NEEDS)
async def loaded_only_as_expected(env: Env) -> None:
    """Contract: who says which control row it expects writes nothing, no note either, into a store of another
    id or epoch."""
    await env.store.records.put("c", "k", 1)
    images = await images_of(port(env), "record")
    target = (await standby(env)).replication()
    row = await target.control()
    for expect in (replace(row, epoch=row.epoch - 1), replace(row, store_id=f"not {row.store_id}")):
        await raises(Conflict, target.load(images, {"cursor": b"1"}, expect))
    assert (await images_of(target, "record"), await target.notes()) == ([], {})
    assert await target.load(images, {"cursor": b"1"}, replace(row, peer="x", term=7)) == 1
    assert (await images_of(target, "record"), await target.notes()) == (images, {"cursor": b"1"})


@check("images.way_back", area="R", number=28, needs=TASKS)
async def way_back(env: Env) -> None:
    """Contract: a store that was moved takes what the other writes, and can be the hive again."""
    await live(env)
    target = await moved(env)
    await target.records.put("c", "same", "later")
    await copy(target.replication(), port(env))
    row = await turn(target.replication(), ControlState.SEALED)
    await target.replication().control(row.epoch, replace(row, state=ControlState.MOVED))
    await turn(port(env), ControlState.OPEN, row.term)
    assert await everything(port(env)) == await everything(target.replication())
    assert await env.store.records.put("c", "same", "last") >> 43 == row.term


@check("notes.kept_beside", area="R", number=29, needs=NEEDS)
async def kept_beside(env: Env) -> None:
    """Contract: notes are written with a load, or alone by compare-and-set, in any state, and are no
    entities: not exported, not marked, no reason not to become a standby."""
    assert await port(env).note({"job": b"1", "gone": b"2"}) is True
    assert await port(env).note({"job": b"3"}, {"job": b"2"}) is False
    assert await port(env).note({"job": b"3"}, {"job": b"1", "other": None}) is True
    await turn(port(env), ControlState.STANDBY)
    assert await port(env).load([], {"cursor": b"\0x", "gone": None}) == 0
    assert await port(env).notes() == {"job": b"3", "cursor": b"\0x"}
    assert all(not images for images in (await everything(port(env))).values())
    other = await env.elsewhere("-other")
    assert await other.replication().notes() == {}
