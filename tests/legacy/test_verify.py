"""The proof finds each thing that is not as in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.model import EventImage, Image, RecordImage, TaskImage, TaskState
from hive_state_legacy.expected import Expecting
from hive_state_legacy.options import Options, make_options
from hive_state_legacy.running import Plan, run
from hive_state_legacy.verify import Verified, Verifier

Change = Callable[[Any], Image | None]

CHANGES: list[tuple[str, type, Change, list[str]]] = [
    ("tasks", TaskImage, lambda image: None, []),
    ("tasks", TaskImage, lambda image: replace(image, payload=b'{"n":1.0}'), ["payload"]),
    ("tasks", TaskImage, lambda image: replace(image, priority=4), ["priority"]),
    ("tasks", TaskImage, lambda image: replace(image, created_at=image.created_at + 1), ["created_at"]),
    ("tasks", TaskImage, lambda image: replace(image, state=TaskState.COMPLETED), ["state"]),
    (
        "tasks",
        TaskImage,
        lambda image: replace(image, lease_until=7, worker="other"),
        ["worker", "lease_until"],
    ),
    ("agents", RecordImage, lambda image: replace(image, updated_at=image.updated_at - 1), ["updated_at"]),
    (
        "agents",
        RecordImage,
        lambda image: replace(image, value=image.value.replace(b"idle", b"gone")),
        ["status"],
    ),
    ("checkpoints", EventImage, lambda image: None, []),
    ("checkpoints", EventImage, lambda image: replace(image, at=image.at + 1), ["at"]),
    (
        "checkpoints",
        EventImage,
        lambda image: replace(image, body=image.body.replace(b"-0.0", b"0.0")),
        ["data"],
    ),
]


@pytest.mark.parametrize(("table", "kind", "change", "fields"), CHANGES)
async def test_each_difference_is_found(
    legacy: Any, store: str, table: str, kind: type, change: Change, fields: list[str]
) -> None:
    file = legacy().agent().task(metadata='{"n": 1}', status="assigned", agent_id="a").checkpoint(data="-0.0")
    options = make_options(str(file.path), {"timezone": "UTC"})
    changed = await _changed(store, options, kind, change)
    async with changed:
        found = await verified(file, changed, options)
    assert {name: count for name, count in found.different.items() if count} == {table: 1}
    (row,) = found.rows
    assert (row.table, row.rowid, row.fields) == (table, 1, fields)


async def verified(file: Any, hive: Store, options: Options) -> Verified:
    expecting = Expecting(options.rules, options.timezone)
    return await Verifier(str(file.path), hive, expecting, set(), lambda _: None).run()


async def _changed(store: str, options: Any, kind: type, change: Change) -> Any:
    """A store that the import was wrong about in one thing."""
    from hive_state_legacy import importing

    judge = importing.Import._judge

    def wrong(self: Any, item: Any, known: Any) -> tuple[Image, ...]:
        found: list[Image] = []
        for image in judge(self, item, known):
            spoiled = change(image) if type(image) is kind and _meant(image) else image
            found += [] if spoiled is None else [spoiled]
        return tuple(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing.Import, "_judge", wrong)
        await run(Plan(options=options, verify=False), store, lambda _: None, lambda _: None)
    return open_store(store)


def _meant(image: Image) -> bool:
    return not isinstance(image, RecordImage) or cast(RecordImage, image).ref.collection == "hive:agents"


async def test_a_note_that_is_missing_is_found(legacy: Any, store: str) -> None:
    file = legacy().task(agent_id="a", started_at="2025-01-01")
    options = make_options(str(file.path), {"timezone": "UTC"})
    hive = await _changed(store, options, TaskImage, lambda image: image)
    async with hive:
        (image,) = await hive.replication().images([_note("t")])
        await hive.replication().load(
            [replace(image, version=image.version + 1, value=image.value[:-1] + b" }")]
        )
        assert (await verified(file, hive, options)).clean
        value = image.value.replace(b'"a"', b'"b"')
        await hive.replication().load([replace(image, version=image.version + 2, value=value)])
        found = await verified(file, hive, options)
    assert [row.fields for row in found.rows] == [["note"]]


def _note(id: str) -> Any:
    from hive_state_core.legacy_model import note_ref

    return note_ref(id)
