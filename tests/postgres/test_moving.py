"""A hive moves into PostgreSQL and out of it again."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from hive_state_conformance.env import Env
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.life import live
from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.cli import main
from hive_state_core.cli.frame import EXIT
from hive_state_core.image_rows import KEYS
from hive_state_core.images import key_of
from hive_state_core.migration import copying
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.opening import move, opened
from hive_state_core.migration.report import Report
from hive_state_core.model import Gone, RecordImage, RecordRef, TaskImage, TaskRef
from hive_state_core.spi import PEER, Control, ControlState, Kind, Span
from hive_state_postgres import loading
from hive_state_postgres.driver import PostgresDriver
from hive_state_postgres.exporting import TABLES
from hive_state_postgres.loadrows import COLUMNS


async def populate(choice: Choice, rounds: int = 3) -> None:
    async with open_store(choice, janitor=False) as hive:
        env = Env(UrlHarness(""), hive.namespace, hive)
        for _ in range(rounds):
            await live(env)


async def row(choice: Choice) -> Control:
    async with open_store(choice, janitor=False) as hive:
        return await hive.replication().control()


async def exported(choice: Choice) -> bytes:
    async with open_store(choice, janitor=False) as hive:
        return b"".join([line async for line in export_lines(hive.replication())])


async def go(source: Choice, target: Choice, **options: Any) -> Report:
    return await move(source, target, lambda *_: None, **{"batch": 150, "copy_only": False, **options})


@pytest.mark.parametrize("kinds", [KEYS, {}], ids=["rows", "images"])
async def test_there_and_back(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, kinds: dict[Kind, tuple[str, ...]]
) -> None:
    """By rows, and by images, as from a store without rows: by COPY where a page of those is large, by
    upserts where it is small."""
    monkeypatch.setattr(copying, "KEYS", kinds)
    first, second, third = (
        choose(f"sqlite:///{tmp_path}/1.db"),
        choose(url),
        choose(f"sqlite:///{tmp_path}/3.db"),
    )
    await populate(first, 60)
    assert (await go(first, second)).clean
    assert (await go(second, third)).clean
    assert await exported(first) == await exported(second) == await exported(third)
    await populate(third, 1)


CORRUPTIONS = {
    "a flipped byte": ("UPDATE {}.records SET value = '31' WHERE key = 'same'", "record", "different"),
    "a missing row": ("DELETE FROM {}.tasks WHERE id LIKE 'leased%'", "task", "missing"),
    "an extra row": (
        "INSERT INTO {0}.queues SELECT ns, 'ghost', version, paused FROM {0}.queues",
        "queue",
        "extra",
    ),
    "a TTL that drifted": (
        "UPDATE {}.records SET expires_at = expires_at + 1 WHERE expires_at > 0 AND collection = 'c'",
        "record",
        "different",
    ),
    "another lease": (
        "UPDATE {}.tasks SET lease_until = lease_until - 1 WHERE token > 0",
        "task",
        "different",
    ),
}


@pytest.mark.parametrize("what", CORRUPTIONS)
async def test_what_differs_is_found(tmp_path: Path, url: str, what: str) -> None:
    statement, kind, difference = CORRUPTIONS[what]
    source, target = choose(f"sqlite:///{tmp_path}/1.db"), choose(url)
    await populate(source)
    await go(source, target, copy_only=True)
    schema = target.url.options["schema"]
    db = await asyncpg.connect(url.partition("?")[0])
    done = await db.execute(statement.format(f'"{schema}"'))
    await db.close()
    changed = int(done.split()[-1])
    assert changed > 0, "nothing was corrupted"
    async with opened(source, target, lambda *_: None) as ready:
        await ready.compare()
        assert getattr(ready.report.kinds[kind], difference) == changed  # type: ignore[index]


async def sealed(store: Store, state: ControlState) -> Control:
    port = store.replication()
    row = await port.control()
    return await port.control(row.epoch, replace(row, state=state, term=row.term + 1))


async def test_loads_at_once_leave_no_ghost(url: str) -> None:
    """A Gone and the entity that it stands for, loaded by two at the same time."""
    await open_store(url).upgrade_schema()
    async with open_store(url, namespace="source", janitor=False) as source:
        await source.tasks.enqueue("q", 1, id="t")
        (task,) = await source.replication().export(Span(kind="task"))
    assert isinstance(task, TaskImage)
    async with (
        open_store(url, namespace="target", janitor=False) as one,
        open_store(url, namespace="target", janitor=False) as other,
    ):
        await sealed(one, ControlState.STANDBY)
        for n in range(60):
            ref = TaskRef(f"t{n}")
            gone = Gone(ref, task.version + 1)
            await asyncio.gather(
                one.replication().load([replace(task, ref=ref)]), other.replication().load([gone])
            )
            assert await one.replication().images([ref]) == [gone]
        assert await one.replication().export(Span(kind="task")) == []


async def test_two_pumps_at_once(url: str) -> None:
    """What many write at once, sent by two at once, arrives."""
    await open_store(url).upgrade_schema()
    async with (
        open_store(url, namespace="source", janitor=False) as source,
        open_store(url, namespace="target", janitor=False) as target,
    ):
        port, standby = source.replication(), target.replication()
        await sealed(target, ControlState.STANDBY)
        row = await port.control()
        await port.control(row.epoch, replace(row, sinks=frozenset({PEER})))
        writing = asyncio.gather(*[_write(source, n) for n in range(8)])
        while not writing.done() or await port.marks(PEER, 1):
            await asyncio.gather(_pump(port, standby), _pump(port, standby))
        await writing
        for kind in ("record", "task"):
            span = Span(kind=kind, limit=10_000)  # type: ignore[arg-type]
            ours, theirs = await port.export(span), await standby.export(span)
            assert list(map(key_of, ours)) == list(map(key_of, theirs))
            assert ours == theirs


async def _write(store: Store, n: int) -> None:
    for i in range(25):
        await store.records.put("c", f"{i % 5}", [n, i])
        await store.records.delete("c", f"{(i + n) % 5}")
        await store.tasks.enqueue("q", i, id=f"{n}-{i}", dedupe_key=f"{i % 3}")
        for lease in await store.tasks.claim("q", worker="w"):
            await store.tasks.complete(lease)


async def _pump(port: Any, standby: Any) -> None:
    marks = await port.marks(PEER, 20)
    images = await port.images([mark.ref for mark in marks])
    await standby.load([image for image in images if image is not None])
    await port.clear(PEER, marks)


@pytest.mark.timeout(180)
async def test_killed_on_the_way(tmp_path: Path, url: str) -> None:
    source, target = choose(f"sqlite:///{tmp_path}/1.db"), choose(url)
    await populate(source, 40)
    await open_store(target).upgrade_schema()
    command = [
        sys.executable,
        "-m",
        "hive_state_core.cli",
        "migrate",
        "run",
        "--offline",
        "--batch-size",
        "1",
    ]
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(
            [*command, "--from", f"sqlite:///{tmp_path}/1.db", "--to", url], stdout=subprocess.DEVNULL
        )
        try:
            ended = process.wait(timeout=0.5 + random.random() * 0.7 if killed < 4 else 120)
            # One that was killed between its last step and its end has moved the hive.
            assert ended == 0 or (ended == EXIT.PRECONDITION and killed), ended
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed > 0
    assert (await row(source)).state is ControlState.MOVED
    assert await exported(source) == await exported(target)


def test_beside_a_bare_copy(tmp_path: Path, url: str) -> None:
    """`migrate run --raw` copies the same rows once more, into tables of its own that are gone afterwards."""
    source = f"sqlite:///{tmp_path}/one.db"
    asyncio.run(populate(choose(source)))
    done = CliRunner().invoke(
        main, ["migrate", "run", "--offline", "--from", source, "--to", url, "--raw", "--json"]
    )
    assert done.exit_code == EXIT.OK, done.output
    told = json.loads(done.stdout)
    assert told["result"] == "moved"
    assert told["raw_copy_rows_per_s"] > 0

    async def left() -> int:
        db = await asyncpg.connect(url.partition("?")[0])
        try:
            return int(await db.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'hs_raw%'"))
        finally:
            await db.close()

    assert asyncio.run(left()) == 0


async def test_the_rows_of_a_load_are_those_of_the_tables(url: str) -> None:
    """An upsert takes rows of the table's own type: all columns, in their order."""
    statement = (
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'hive.{}'::regclass AND attnum > 0"
    )
    async with open_store(url, janitor=False) as hive:
        driver = hive._driver
        assert isinstance(driver, PostgresDriver)
        for kind, columns in COLUMNS.items():
            asked = driver._statements.qualify(statement.format(TABLES[kind].name))
            ((found,),) = await driver._ask(asked)
            assert tuple(found) == columns, kind


async def test_a_load_of_what_is_there_already(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several statements, by number or size. Of two images of one record the newer one counts."""
    monkeypatch.setattr(loading, "CHUNK", 4)
    monkeypatch.setattr(loading, "REPLY_BYTES", 1000)

    def image(n: int, version: int, size: int = 1) -> RecordImage:
        return RecordImage(
            ref=RecordRef("c", str(n)),
            version=version,
            created_version=1,
            value=b"x" * size,
            raw=False,
            index=(),
            created_at=1,
            updated_at=2,
            expires_at=None,
        )

    async with open_store(url, janitor=False) as hive:
        port = hive.replication()
        assert await port.load([image(n, 5) for n in range(10)]) == 10
        newer = [image(n, 6, size=900 if n % 2 else 1) for n in range(9)]
        assert await port.load([image(3, 7), *newer, image(9, 4), image(3, 6)]) == 9
        found = await port.images([RecordRef("c", str(n)) for n in range(10)])
        assert [each.version for each in found if each] == [6, 6, 6, 7, 6, 6, 6, 6, 6, 5]
