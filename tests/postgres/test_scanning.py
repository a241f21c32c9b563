"""A scan by index fields reads what it finds, not the collection."""

from __future__ import annotations

import json
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store
from hive_state_core.spi import Scan
from hive_state_core.url import parse_url
from hive_state_postgres.dialing import PLANNING
from hive_state_postgres.scanning import _Query

MANY = 20_000
FILL = """
INSERT INTO {schema}.records
    (ns, collection, key, version, created_version, value, raw, index_fields, created_at, updated_at)
SELECT c.ns, 'c', 'k' || lpad(n::text, 6, '0'), 1, 1, '1', false, json_build_array(
    json_build_array('common', 's' || n % 10), json_build_array('rare', 's' || n % 2000))::text, 0, 0
FROM {schema}.control c, generate_series(1, {many}) n
"""


def looked_at(plan: Any) -> int:
    """Rows that the scans of a plan have returned."""
    own = int(plan["Actual Rows"] * plan["Actual Loops"]) if plan["Node Type"].endswith("Scan") else 0
    return own + sum(map(looked_at, plan.get("Plans", ())))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"rare": "7"}, 10),
        ({"common": "7"}, 100),
        ({"rare": "7", "common": "7"}, 10),
        ({"rare": "7", "common": "8"}, 0),
        ({"rare": 7}, 0),
    ],
)
async def test_what_a_page_looks_at(hive: Store, url: str, where: dict[str, Any], found: int) -> None:
    schema = parse_url(url).options["schema"]
    db = await asyncpg.connect(url.partition("?")[0], server_settings=PLANNING)
    await db.execute(FILL.format(schema=schema, many=MANY))
    query = Scan(kind="record", within="c", where=tuple(where.items()), limit=100)
    page = await hive._driver.scan(query)
    assert len(page.items) == found
    keys = [record.ref.key for record in page.items]  # type: ignore[union-attr]
    assert keys == sorted(keys)
    built = _Query(hive._driver._ns, query)
    statement = hive._driver._statements.qualify(built.page(query))
    (plan,) = json.loads(await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *built.arguments))
    assert looked_at(plan["Plan"]) < 1000
    await db.close()
