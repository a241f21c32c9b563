"""The driver `legacy-sqlite://`: the port of a source, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.errors import ConfigError, SchemaMismatch, Unsupported
from hive_state_core.images import digest_of, key_of, sort_key
from hive_state_core.migration.presence import instant
from hive_state_core.model import EntityRef, Image, RecordRef, TaskRef
from hive_state_core.spi import KINDS, Control, ControlState, Kind, Replication, Span


async def images_of(port: Replication, kind: Kind, limit: int = 1000) -> list[Image]:
    found: list[Image] = []
    while page := await port.export(Span(kind=kind, after=key_of(found[-1]) if found else None, limit=limit)):
        found += page
    return found


@pytest.mark.no_cover  # thousands of rows, again and again
async def test_all_is_exported_in_key_order_whatever_the_pages(sample: Any) -> None:
    async with open_store(f"legacy-sqlite:///{sample.path}?timezone=UTC") as hive:
        port = hive.replication()
        counts = {kind: len(await images_of(port, kind)) for kind in KINDS}
        quarantine = 41 * 2
        assert counts == dict.fromkeys(KINDS, 0) | {
            "record": 40 + 1459 + quarantine,
            "task": 1459,
            "event": 16 + 30,
            "stream": 3 + 1,
        }
        for kind in KINDS:
            images = await images_of(port, kind)
            keys = [sort_key(key_of(image)) for image in images]
            assert keys == sorted(set(keys))
            assert await images_of(port, kind, limit=7) == images
            assert await port.digest(Span(kind=kind)) == digest_of(images)
            if images:
                middle = key_of(images[len(images) // 2])
                assert list(await port.export(Span(kind=kind, after=middle, limit=5))) == [
                    *images[len(images) // 2 + 1 :][:5]
                ]
                assert (await port.digest(Span(kind=kind, stop=middle))).count == len(images) // 2


async def test_images_by_name(sample: Any) -> None:
    async with open_store(f"legacy-sqlite:///{sample.path}?nan=null&timezone=UTC") as hive:
        port = hive.replication()
        exported = [
            *await images_of(port, "record"),
            *await images_of(port, "task"),
            *await images_of(port, "stream"),
        ]
        some = exported[::97]
        refs: list[EntityRef] = [image.ref for image in some]  # type: ignore[union-attr]
        assert await port.images(refs) == some
        assert await port.images([TaskRef("none"), RecordRef("c", "k")]) == [None, None]


async def test_it_is_term_0_of_an_open_store(sample: Any) -> None:
    async with open_store(f"legacy-sqlite:///{sample.path}") as hive:
        row = await hive.replication().control()
        assert (row.state, row.term, row.sinks) == (ControlState.OPEN, 0, frozenset())
        assert all(image.version <= row.version for image in await images_of(hive.replication(), "task"))
        assert await hive.replication().marks("peer", 10) == ()


async def test_what_a_plan_asks(sample: Any) -> None:
    async with open_store(f"legacy-sqlite:///{sample.path}") as hive:
        stats = await hive.stats()
        assert stats.records == {"hive:agents": 40, "hive:legacy-tasks": 1500}
        assert sum(stats.streams.values()) == 46
        assert abs(await instant(hive._driver) - time.time() * 1000) < 60_000


async def test_everything_else_is_refused(sample: Any) -> None:
    before = sample.contents()
    async with open_store(f"legacy-sqlite:///{sample.path}") as hive:
        port = hive.replication()
        row: Control = await port.control()
        for call in (
            hive.agents.get("a"),
            hive.agents.register("a"),
            hive.sweep(),
            port.control(row.epoch, row),
            port.load([]),
            port.note({}),
            port.clear("peer", []),
        ):
            with pytest.raises(Unsupported, match="import-legacy"):
                await call
        for call in (hive.tasks.claim("tasks", worker="w"), hive.checkpoints.latest("nightly")):
            with pytest.raises(Unsupported):
                await call
    with pytest.raises(Unsupported):
        await open_store(f"legacy-sqlite:///{sample.path}").upgrade_schema()
    assert sample.contents() == before


async def test_a_file_in_another_encoding_has_no_order_of_keys(legacy: Any) -> None:
    file = legacy('PRAGMA encoding = "UTF-16le"; CREATE TABLE tasks (task_id TEXT PRIMARY KEY, status TEXT)')
    async with open_store(f"legacy-sqlite:///{file.path}") as hive:
        with pytest.raises(Unsupported, match="UTF-16"):
            await hive.replication().export(Span(kind="task"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("?nan=zero", "null, string, quarantine"),
        ("?timezone=Mars", "no time zone"),
        ("?waive=tasks", "TABLE:ROWID"),
        ("?mode=rw", "mode"),
    ],
)
def test_what_a_url_cannot_say(options: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        open_store(f"legacy-sqlite:///x.db{options}")
    with pytest.raises(ConfigError, match="three slashes"):
        open_store("legacy-sqlite://x.db")


async def test_after_a_failed_open_nothing_is_left(legacy: Any) -> None:
    file = legacy("CREATE TABLE notes (text)")
    hive = open_store(f"legacy-sqlite:///{file.path}")
    with pytest.raises(SchemaMismatch):
        await hive.open()
    await hive.close()
