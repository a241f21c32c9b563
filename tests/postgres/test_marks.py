"""Marks are looked up by their keys, also by a plan that was made while there were none.

Compared one with the other instead, a thousand marks of ten thousand took seconds to clear, and writers of
those records waited.
"""

from __future__ import annotations

import json
import re
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from msgspec.structs import replace

from hive_state_core import Store
from hive_state_core.model import RecordRef
from hive_state_core.spi import CACHE, Mark, Retention
from hive_state_core.url import parse_url
from hive_state_postgres import telling
from hive_state_postgres.controlling import clear
from hive_state_postgres.dialing import PLANNING

MANY, SOME = 3_000, 500
FILL = """
INSERT INTO {schema}.marks (ns, sink, kind, name, part, seq, version)
SELECT c.ns, 'other', 'record', 'c', 'k' || n, 0, n FROM {schema}.control c, generate_series(1, {many}) n
"""


def looked_at(plan: Any) -> float:
    """Rows of marks that a plan has read, those among them that did not fit."""
    own = 0.0
    if plan.get("Relation Name") == "marks" and plan["Node Type"].startswith("Index"):
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(map(looked_at, plan.get("Plans", ())))


def test_a_join_the_other_way_round_is_counted() -> None:
    scan = {"Node Type": "Index Scan", "Relation Name": "marks", "Actual Rows": 7, "Actual Loops": 3}
    assert looked_at({"Node Type": "Nested Loop", "Plans": [scan]}) == 21


async def looked_at_by(url: str, types: str, statement: str, *arguments: object) -> float:
    """Planned while there are no marks, run when there are many."""
    given = ", ".join(map(literal, arguments))
    db = await asyncpg.connect(url.partition("?")[0], server_settings=PLANNING)
    await db.execute(f"PREPARE tried ({types}) AS {statement}")
    await db.execute(f"EXPLAIN EXECUTE tried ({given})")
    await db.execute(FILL.format(schema=parse_url(url).options["schema"], many=MANY))
    (plan,) = json.loads(await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE tried ({given})"))
    await db.close()
    return looked_at(plan["Plan"])


def literal(value: object) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    return f"'{value}'" if isinstance(value, str) else str(value)


async def test_marks_that_are_cleared(hive: Store, url: str) -> None:
    driver, numbers = hive._driver, list(range(1, SOME + 1))
    places = [["record"] * SOME, ["c"] * SOME, [f"k{n}" for n in numbers], [0] * SOME, numbers]
    types = "int, text, text[], text[], text[], bigint[], bigint[]"
    statement = driver._statements.named("marks_clear")
    assert await looked_at_by(url, types, statement, driver._ns, "other", *places) == SOME


async def test_a_mark_that_keeps_a_tombstone(hive: Store, url: str) -> None:
    driver = hive._driver
    statement = driver._statements.named("fn_is_marked").split("$$")[1]
    for number, name in enumerate(("ns", "sinks", "kind", "name", "part", "seq"), 1):
        statement = re.sub(rf"\bp_{name}\b", f"${number}", statement)
    types = "int, text[], text, text, text, bigint"
    place = ("record", "c", "k7", 0)
    assert await looked_at_by(url, types, statement, driver._ns, ["other"], *place) == 1


async def test_what_has_changed_since_is_not_cleared(hive: Store, url: str) -> None:
    driver = hive._driver
    schema = parse_url(url).options["schema"]
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(FILL.format(schema=schema, many=3))
    done = [Mark("other", RecordRef("c", f"k{n}"), version) for n, version in ((1, 1), (2, 1), (4, 4))]
    assert await clear(db, driver._statements, driver._ns, "other", done) == 1
    left = await driver.marks("other", 10)
    assert [(mark.ref.key, mark.version) for mark in left] == [("k2", 2), ("k3", 3)]
    await db.close()


async def sinks(hive: Store, *names: str) -> None:
    row = await hive._driver.control()
    await hive._driver.control(row.epoch, replace(row, sinks=frozenset(names)))


async def test_a_cache_is_told_of_a_record_once_with_its_latest_version(hive: Store) -> None:
    driver = hive._driver
    await sinks(hive, CACHE)
    await hive.records.put_many("c", {f"k{n}": n for n in range(5)})
    versions = {f"k{n}": await hive.records.put("c", f"k{n}", "again") for n in (1, 3)}
    await hive.records.delete("c", "k4")
    marks = await driver.marks(CACHE, 100)
    assert sorted(mark.ref.key for mark in marks) == [f"k{n}" for n in range(5)]
    assert {mark.ref.key: mark.version for mark in marks if mark.ref.key in versions} == versions
    assert len(await driver.marks(CACHE, 2)) == 2


async def test_marks_of_a_cache_are_cleared_by_version(hive: Store) -> None:
    driver = hive._driver
    await sinks(hive, CACHE)
    await hive.records.put_many("c", {"a": 1, "b": 1, "c": 1})
    old = await driver.marks(CACHE, 100)
    await hive.records.put("c", "a", 2)
    assert await driver.clear(CACHE, old[:2]) == 2
    left = {mark.ref.key: mark.version for mark in await driver.marks(CACHE, 100)}
    assert left.keys() == {"a", "c"}
    assert left["a"] > old[0].version
    assert await driver.clear(CACHE, await driver.marks(CACHE, 100)) == 2
    assert await driver.marks(CACHE, 100) == []


async def test_more_marks_than_a_page_of_them(hive: Store) -> None:
    await sinks(hive, CACHE)
    for n in range(2 * telling.ROWS + 1):
        await hive.records.put("c", f"k{n % 150}", n)
    marks = await hive._driver.marks(CACHE, 1000)
    assert len({mark.ref for mark in marks}) == len(marks) == 150
    assert await hive._driver.clear(CACHE, marks) == 150
    assert await hive._driver.marks(CACHE, 1000) == []


async def test_a_cache_that_nobody_tells_is_given_up(hive: Store, url: str) -> None:
    driver = hive._driver
    await sinks(hive, CACHE, "other")
    before = await driver.control()
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(
        f"INSERT INTO {parse_url(url).options['schema']}.written"
        f" SELECT {driver._ns}, n, ARRAY['c'], ARRAY['k'] FROM generate_series(1, 20000) n"
    )
    await db.close()
    await driver.sweep(100, Retention())
    after = await driver.control()
    assert (after.sinks, after.epoch) == (frozenset({"other"}), before.epoch + 1)
    assert await driver.marks(CACHE, 10) == []
    await hive.records.put("c", "k", 1)
    assert await driver.marks(CACHE, 10) == []


async def test_marks_of_whole_trips_are_settled(hive: Store) -> None:
    """Those of two statements, an update and an insert, have one version."""
    driver = hive._driver
    await sinks(hive, CACHE)
    await hive.records.put("c", "a", 1)
    version = await hive.records.put_many("c", {"a": 2, "b": 2})
    await driver.settle([version])
    assert [mark.ref.key for mark in await driver.marks(CACHE, 10)] == ["a"]
